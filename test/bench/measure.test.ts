// What becomes of contenders that are broken: a row that says so, and never a time.

import { writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Contender } from '../../src/bench/contender.js';
import { withBenchImage } from '../../src/bench/image.js';
import { viewDirectory } from '../../src/bench/layered-view.js';
import { type Measured, measure } from '../../src/bench/measure.js';
import { withScratch } from '../support/scratch.js';
import { file } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const files = 200;

/** A contender that writes {@link files}, `broken` of them wrong. */
function writer(id: string, broken: number, more: Partial<Contender> = {}): Contender {
  return {
    id,
    title: id,
    kind: id === 'ours' ? 'ours' : 'peer',
    digests: true,
    lacks: [],
    absence: async () => undefined,
    async unpack(_, destination) {
      await mkdir(destination);
      for (let n = 0; n < files; n++) {
        writeFileSync(path.join(destination, `f${n}`), n < broken ? 'wrong' : 'right');
      }
      return {};
    },
    async view(_, destination, xattrs) {
      const { tree } = await viewDirectory(destination, xattrs);
      return { tree, tolerance: { time: 10n ** 18n } };
    },
    ...more,
  };
}

async function measured(contenders: Contender[], limit?: number): Promise<Measured> {
  let result: Measured | undefined;
  await withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), [[file('f', 'x')]], ['gzip']);
    await withBenchImage(reference, async (image) => {
      result = await measure(contenders, image, { scratch, runs: 2, limit });
    });
  });
  return result as Measured;
}

/** A contender that unpacks as `unpack` says. */
function unpacker(id: string, unpack: Contender['unpack']): Contender {
  return writer(id, 0, { unpack });
}

test('who is broken is a row that says so, and has no time', async () => {
  const whole = writer('whole', 0);
  let calls = 0;
  const { rows } = await measured([
    writer('ours', 0),
    writer('few', 2),
    writer('other', 3),
    unpacker('late', (place, destination) => {
      if (++calls === 3) {
        throw new Error('boom');
      }
      return whole.unpack(place, destination);
    }),
    writer('unasked', 0, { absence: () => Promise.reject(new Error('bad config')) }),
  ]);
  const [ours, few, other, late, unasked] = rows;
  expect(ours).toMatchObject({ status: 'measured', differenceCount: 0 });
  // A few paths of many are told beside the time.
  expect(few).toMatchObject({ status: 'measured', differenceCount: 2 });
  expect(few?.samples).toHaveLength(2);
  expect(other).toMatchObject({ status: 'failed', differenceCount: 3, samples: [] });
  expect(other?.reason).toContain('3 of 201 paths differ, such as f0: content');
  expect(late).toMatchObject({ status: 'failed', reason: 'boom', samples: [] });
  expect(unasked).toMatchObject({ status: 'failed', reason: 'bad config' });
  expect([other, late, unasked].map((row) => row?.wall)).toEqual(Array(3).fill(undefined));
});

test('who does not end is given up', async () => {
  const one = unpacker('ours', async (_, destination) => {
    await mkdir(destination);
    return {};
  });
  const hanging = unpacker('hanging', async ({ signal }) => {
    await sleep(30_000, undefined, { signal });
    return {};
  });
  const { rows } = await measured([one, hanging], 600);
  expect(rows[1]).toMatchObject({ status: 'failed', reason: 'no end after 1 s', samples: [] });
});
