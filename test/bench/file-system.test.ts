// Where the bench, the demo and explain work: nothing stays of it but what others have put there.

import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { makeScratchDirectory } from '../../src/bench/file-system.js';
import { withScratch } from '../support/scratch.js';

test('what had to be made for the scratch directory goes with it', async () => {
  await withScratch(async (scratch) => {
    const made = await makeScratchDirectory(path.join(scratch, 'new/inner'));
    await writeFile(path.join(made.path, 'file'), '');
    await made.remove();
    expect(await readdir(scratch)).toEqual([]);
  });
});

test('what was there stays, and what others have put there', async () => {
  await withScratch(async (scratch) => {
    await mkdir(path.join(scratch, 'old'));
    await (await makeScratchDirectory(path.join(scratch, 'old'))).remove();
    const made = await makeScratchDirectory(path.join(scratch, 'new/inner'));
    await writeFile(path.join(scratch, 'new/report'), '');
    await made.remove();
    expect((await readdir(scratch, { recursive: true })).sort()).toEqual([
      'new',
      'new/report',
      'old',
    ]);
  });
});

test('nor does a part of it stay when it cannot be made', async () => {
  await withScratch(async (scratch) => {
    await writeFile(path.join(scratch, 'file'), '');
    const wanted = path.join(scratch, 'file/new');
    await expect(makeScratchDirectory(wanted)).rejects.toMatchObject({ path: wanted });
    expect(await readdir(scratch)).toEqual(['file']);
  });
});
