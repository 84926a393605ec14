// Directories that are no store, and hold what a store would sweep.

import { mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { Store } from '../../src/index.js';
import { withScratch } from '../support/scratch.js';
import { file } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const image = [[file('name', 'content')]];
const refusal = { code: 'ERR_STORE_CORRUPT' };

it('refuses an OCI layout and takes nothing of it', async () => {
  await withScratch(async (scratch) => {
    const layout = path.join(scratch, 'layout');
    const reference = await writeImage(layout, image);
    const before = await readdir(layout, { recursive: true });
    await expect(Store.open(layout)).rejects.toMatchObject(refusal);
    expect(await readdir(layout, { recursive: true })).toEqual(before);

    const store = await Store.open(path.join(scratch, 'root'));
    await store.import(reference, { unpack: false });
    await store.close();
  });
});

it('refuses the directories of a containerd', async () => {
  await withScratch(async (scratch) => {
    await mkdir(path.join(scratch, 'snapshots/1/fs'), { recursive: true });
    await writeFile(path.join(scratch, 'metadata.db'), '');
    await expect(Store.open(scratch)).rejects.toMatchObject(refusal);
    expect(await readdir(path.join(scratch, 'snapshots/1'))).toEqual(['fs']);
  });
});

for (const [what, lose] of [
  ['is gone', (file: string) => rm(path.dirname(file), { recursive: true })],
  ['is empty', (file: string) => truncate(file)],
] as const) {
  it(`refuses a store whose metadata ${what}`, async () => {
    await withScratch(async (scratch) => {
      const root = path.join(scratch, 'root');
      const store = await Store.open(root);
      await store.import(await writeImage(path.join(scratch, 'layout'), image), { unpack: false });
      await store.close();
      const before = await readdir(path.join(root, 'blobs/sha256'));
      await lose(path.join(root, 'metadata/data.mdb'));
      await expect(Store.open(root)).rejects.toMatchObject(refusal);
      expect(await readdir(path.join(root, 'blobs/sha256'))).toEqual(before);
    });
  });
}

it('goes on from a first opening that was killed', async () => {
  await withScratch(async (scratch) => {
    await mkdir(path.join(scratch, 'metadata'));
    await writeFile(path.join(scratch, 'metadata/data.mdb'), Buffer.alloc(100));
    const store = await Store.open(scratch);
    expect(store.images.list()).toEqual([]);
    await store.close();
  });
});
