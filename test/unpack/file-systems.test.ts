// File systems that cannot hold all that a layer says: it is reported, or refused, and never left out in silence.

import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { unpackImage } from '../../src/index.js';
import { loopImageMissing, withLoopImage } from '../support/loop-image.js';
import { withScratch } from '../support/scratch.js';
import { file, whiteout } from '../support/tar-builder.js';
import { platform, writeImage } from '../support/write-image.js';

const ext4 = ['mkfs.ext4', '-q', '-F', '-O', '^has_journal'];
const missing = process.getuid?.() === 0 ? await loopImageMissing(ext4) : 'needs root';
if (missing !== undefined) {
  console.log(`skipped: file systems: ${missing}`);
}

test.skipIf(missing !== undefined)('whole seconds: times that were cut are reported', async () => {
  const layer = [
    file('whole', 'x', { mtime: 5n * 10n ** 9n }),
    file('fine', 'x', { mtime: 5n * 10n ** 9n + 7n }),
  ];
  await withLoopImage([...ext4, '-I', '128'], async (disk) => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), [layer]);
      const { warnings } = await unpackImage(reference, path.join(disk, 'image'), { platform });
      const detail = '5 s and 7 ns is stored as 5 s';
      expect(warnings).toMatchObject([{ kind: 'time-clamped', path: 'fine', detail }]);
    });
  });
});

test.skipIf(missing !== undefined)(
  'listings without types, where overlayfs sees no whiteout: a layer with one is refused',
  async () => {
    await withLoopImage([...ext4.slice(0, -1), '^has_journal,^filetype'], async (disk) => {
      await withScratch(async (scratch) => {
        const layers = [[file('a', 'x'), file('b', 'x')], [whiteout('a')]];
        const reference = await writeImage(path.join(scratch, 'layout'), layers);
        const destination = path.join(disk, 'image');
        await expect(unpackImage(reference, destination, { platform })).rejects.toMatchObject({
          code: 'ERR_UNSUPPORTED',
          path: 'a',
        });
        const flat = path.join(disk, 'flat');
        await unpackImage(reference, flat, { platform, format: 'flat' });
        expect(await readdir(path.join(flat, 'rootfs'))).toEqual(['b']);
      });
    });
  },
);
