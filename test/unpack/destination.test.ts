// What lies in a destination may be somebody else's.

import { mkdir, readdir, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { unpackImage } from '../../src/index.js';
import { withScratch } from '../support/scratch.js';
import { file } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

test('nothing is written or removed by way of a symlink in it', async () => {
  await withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), [[file('name', 'content')]]);
    const other = path.join(scratch, 'other');
    await mkdir(path.join(other, 'staging/kept'), { recursive: true });
    for (const name of ['.oci-unpack', 'layers']) {
      const destination = path.join(scratch, `of ${name}`);
      await unpackImage(reference, destination, { platform: 'linux/amd64' });
      await rm(path.join(destination, name), { recursive: true });
      await symlink(other, path.join(destination, name));
      await expect(
        unpackImage(reference, destination, { platform: 'linux/amd64' }),
      ).rejects.toMatchObject({ code: 'ERR_DESTINATION_NOT_EMPTY' });
    }
    expect(await readdir(other, { recursive: true })).toEqual(['staging', 'staging/kept']);
  });
});
