// An empty path, as of a shell's variable that is not set, must never stand for the working directory.

import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { givenPath } from '../src/given-path.js';
import {
  examineHost,
  inspectImage,
  mountImage,
  Store,
  unmount,
  unpackImage,
  unpackLayer,
} from '../src/index.js';
import { withScratch } from './support/scratch.js';
import { file } from './support/tar-builder.js';
import { writeImage } from './support/write-image.js';

const wrong = ['', 'a\0b', undefined, null, 3, {}, Buffer.from('a')] as never[];
const refused = { code: 'ERR_INVALID_ARGUMENT' };

test('givenPath makes a path absolute', () => {
  expect(givenPath('what', 'a/../b')).toBe(path.resolve('b'));
  expect(givenPath('what', '/a')).toBe('/a');
});

describe.each(wrong)('%j', (text) => {
  test('is no path', () => {
    expect(() => givenPath('what', text)).toThrow(expect.objectContaining(refused));
  });

  test('is refused by all that take one', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), [[file('a', 'a')]]);
      await expect(unpackImage(reference, text)).rejects.toMatchObject(refused);
      await expect(unpackLayer(Buffer.alloc(0), text)).rejects.toMatchObject(refused);
      await expect(mountImage(text, scratch)).rejects.toMatchObject(refused);
      await expect(unmount(text)).rejects.toMatchObject(refused);
      if (text !== undefined) {
        await expect(Store.open(text)).rejects.toMatchObject(refused);
      }
      if (text !== undefined && text !== null) {
        await expect(examineHost({ directory: text })).rejects.toMatchObject(refused);
      }
    });
  });

  test('is no image', async () => {
    const code = 'ERR_INVALID_REFERENCE';
    await expect(unpackImage(text, 'nowhere')).rejects.toMatchObject({ code });
    await expect(inspectImage(text)).rejects.toMatchObject({ code });
  });
});
