import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { defaultMemoryBudget, setMemoryBudget } from '../../src/index.js';
import { loadBinding } from '../../src/native/index.js';
import { unpack } from '../support/image.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, type TarItem } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

afterAll(() => setMemoryBudget(defaultMemoryBudget));

test('the default is 128 MiB', () => {
  expect(loadBinding().memory().budget).toBe(defaultMemoryBudget);
});

test('an unpack of many layers stays within a small budget, and ends', async () => {
  const budget = 2 ** 20;
  setMemoryBudget(budget);
  const layers = Array.from({ length: 8 }, (_, index): TarItem[] => [
    dir(`d${index}`),
    ...[0, 1, 2].map((n) => file(`d${index}/${n}`, Buffer.alloc(2_000_000, index * 3 + n))),
  ]);
  await withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), layers);
    const report = await unpack(reference, path.join(scratch, 'dest'), { concurrency: 8 });
    expect(report.layers).toHaveLength(8);
  });
  expect(loadBinding().memory()).toMatchObject({ budget, inUse: 0 });
  expect(loadBinding().memory().peak).toBeLessThanOrEqual(budget);
});

test.each([0, -1, 1.5, Number.NaN, 1000])('%s is refused', (bytes) => {
  expect(() => setMemoryBudget(bytes)).toThrow(/memory budget/);
});
