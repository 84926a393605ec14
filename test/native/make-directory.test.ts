import path from 'node:path';
import { expect, test } from 'vitest';
import { makeDirectory } from '../../src/native/index.js';
import { withScratch } from '../support/scratch.js';

test('directories that had to be made are told, the deepest first', async () => {
  await withScratch(async (scratch) => {
    const [top, inner] = [path.join(scratch, 'new'), path.join(scratch, 'new/inner')];
    expect(await makeDirectory(inner)).toEqual([inner, top]);
    expect(await makeDirectory(inner)).toEqual([]);
  });
});
