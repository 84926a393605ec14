// A listener that throws: it is called from a timer, and must end neither the process nor leave anything behind.

import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { Store, unpackImage, unpackLayer } from '../../src/index.js';
import { withScratch } from '../support/scratch.js';
import { file } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const boom = new Error('boom');
const onProgress = () => {
  throw boom;
};
const thrown = {
  code: 'ERR_INVALID_ARGUMENT',
  message: 'onProgress: has thrown: boom',
  cause: boom,
};

/** A stream without an end, which only a cancel stops. */
async function* endless() {
  for (;;) {
    yield Buffer.alloc(512);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('onProgress that throws', () => {
  test('cancels a layer at once', async () => {
    await withScratch(async (scratch) => {
      const directory = path.join(scratch, 'layer');
      await expect(unpackLayer(endless(), directory, { onProgress })).rejects.toMatchObject(thrown);
      expect(await readdir(scratch)).toEqual([]);
    });
  });

  test('fails the unpack of an image, and the next one completes it', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), [[file('a', 'a')]]);
      const dest = path.join(scratch, 'dest');
      const options = { policies: { ownership: 'ignore' } } as const;
      const failing = unpackImage(reference, dest, { ...options, onProgress });
      await expect(failing).rejects.toMatchObject(thrown);
      const { status } = await unpackImage(reference, dest, options);
      expect(status).not.toBe('unpacked');
      expect(existsSync(path.join(dest, 'image.json'))).toBe(true);
    });
  });

  test('fails an import, which lets go of all that it held', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), [[file('a', 'a')]]);
      const store = await Store.open(path.join(scratch, 'store'), { durability: 'none' });
      try {
        await expect(store.import(reference, { onProgress })).rejects.toMatchObject(thrown);
        await expect(store.verify({ onProgress })).rejects.toMatchObject(thrown);
        expect((await store.import(reference)).layers).toHaveLength(1);
      } finally {
        await store.close();
      }
    });
  });

  test.each([{ signal: 'stop' }, { onProgress: 3 }])('refuses %j', async (options) => {
    const refused = unpackLayer(Buffer.alloc(0), 'nowhere', options as never);
    await expect(refused).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });
});
