// Nothing of an unpack is synced unless told to: what a later boot finds in DEST is not trusted, and made anew.

import { execFileSync } from 'node:child_process';
import { mkdir, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ImageReport, mountImage, type UnpackError, unmount } from '../../src/index.js';
import { treeHash } from '../store/crash.js';
import { unpack } from '../support/image.js';
import { loopImageMissing, withLoopImage } from '../support/loop-image.js';
import { overlayMissing } from '../support/mount.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, type TarItem, whiteout } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const layers: TarItem[][] = [
  [dir('etc'), file('etc/hosts', 'localhost\n'), file('etc/old', 'old')],
  [whiteout('etc/old'), file('etc/new', 'new')],
];

const ext4 = ['mkfs.ext4', '-q', '-F'];
const isRoot = process.getuid?.() === 0;
const noLoop = isRoot ? await loopImageMissing(ext4) : 'it takes root to mount';
const noOverlay = isRoot ? await overlayMissing() : 'it takes root to mount';
for (const missing of new Set([noLoop, noOverlay])) {
  if (missing !== undefined) {
    console.log(`skipped: ${missing}`);
  }
}

/** Changes what the state of `dest` says of the instance that it is trusted in. */
async function setTrust(dest: string, trustedIn: string | undefined): Promise<void> {
  const state = path.join(dest, '.oci-unpack/state.json');
  const value = JSON.parse(await readFile(state, 'utf8')) as Record<string, unknown>;
  await writeFile(state, JSON.stringify({ ...value, trustedIn }));
}

/** Unpacks an image into DEST and cuts one of its files, as a power loss would. */
async function withCut(
  options: Parameters<typeof unpack>[2],
  work: (reference: string, dest: string, report: ImageReport, cut: string) => Promise<void>,
): Promise<void> {
  await withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), layers);
    const dest = path.join(scratch, 'dest');
    const report = await unpack(reference, dest, options);
    const cut = path.join(dest, report.layers[0]?.path ?? '', 'etc/hosts');
    await truncate(cut);
    await work(reference, dest, report, cut);
  });
}

describe('what was unpacked in another boot', () => {
  const ways: [string, (dest: string) => Promise<void>][] = [
    ['is made anew', (dest) => setTrust(dest, 'another')],
    ['is made anew where its state does not say which', (dest) => setTrust(dest, undefined)],
    ['is made anew where its state is lost', (dest) => cutState(dest, '')],
    ['is made anew where its state is zeros', (dest) => cutState(dest, '\0\0\0')],
    [
      'is made anew where image.json is lost too',
      async (dest) => {
        await cutState(dest, '');
        await truncate(path.join(dest, 'image.json'));
      },
    ],
  ];
  const cutState = (dest: string, text: string) =>
    writeFile(path.join(dest, '.oci-unpack/state.json'), text);

  test.each(ways)('%s', async (_, reboot) => {
    await withCut({}, async (reference, dest, _report, cut) => {
      await reboot(dest);
      const again = await unpack(reference, dest);
      expect(again).toMatchObject({ status: 'unpacked', reusedLayers: 0 });
      expect(await readFile(cut, 'utf8')).toBe('localhost\n');
      expect(await readdir(path.join(dest, '.oci-unpack'))).toEqual(['lock', 'state.json']);
      expect((await unpack(reference, dest)).status).toBe('confirmed');
    });
  });

  test('is confirmed where it was waited for, and nothing is written', async () => {
    await withCut({ durability: 'wait' }, async (reference, dest) => {
      const image = path.join(dest, 'image.json');
      const before = await open(image);
      const { ino } = await before.stat();
      expect((await unpack(reference, dest)).status).toBe('confirmed');
      const after = await open(image);
      expect((await after.stat()).ino).toBe(ino);
      await Promise.all([before.close(), after.close()]);
      // A layer that is made now is not on the disk, so that all are trusted in this boot only.
      await rm(path.join(dest, 'layers/001'), { recursive: true });
      expect(await unpack(reference, dest)).toMatchObject({
        status: 'completed',
        reusedLayers: 1,
      });
      await setTrust(dest, 'another');
      expect((await unpack(reference, dest)).status).toBe('unpacked');
    });
  });

  test('stays as it is when it cannot be made anew', async () => {
    await withCut({}, async (reference, dest, report) => {
      await setTrust(dest, 'another');
      const blobs = path.join(dest, '../layout/blobs/sha256');
      await rm(path.join(blobs, report.layers[1]?.digest.slice('sha256:'.length) ?? ''));
      await expect(unpack(reference, dest)).rejects.toMatchObject({ code: 'ERR_BLOB_NOT_FOUND' });
      expect(await readdir(dest)).toEqual(['.oci-unpack', 'image.json', 'layers']);
    });
  });

  test('is not removed as one tree, which may have been changed since', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const dest = path.join(scratch, 'dest');
      await unpack(reference, dest, { format: 'flat' });
      await setTrust(dest, 'another');
      await expect(unpack(reference, dest, { format: 'flat' })).rejects.toMatchObject({
        code: 'ERR_DESTINATION_NOT_EMPTY',
      });
      // An interrupted one was never given to anybody.
      await rm(path.join(dest, 'image.json'));
      expect((await unpack(reference, dest, { format: 'flat' })).status).toBe('unpacked');
    });
  });

  test('of another image is refused, also where the state is lost', async () => {
    await withCut({}, async (_, dest) => {
      await cutState(dest, '');
      const other = await writeImage(path.join(dest, '../other'), [[file('a', 'a')]]);
      await expect(unpack(other, dest)).rejects.toMatchObject({
        code: 'ERR_DESTINATION_NOT_EMPTY',
      });
    });
  });

  test.skipIf(noOverlay !== undefined)(
    'is mounted with a warning, and then left alone',
    async () => {
      await withCut({}, async (reference, dest) => {
        const target = path.join(dest, '../target');
        await mkdir(target);
        const warnings: string[] = [];
        const onWarning = (message: string) => warnings.push(message);
        await mountImage(dest, target, { onWarning });
        await unmount(target);
        expect(warnings).toEqual([]);
        await setTrust(dest, 'another');
        await mountImage(dest, target, { onWarning });
        try {
          expect(warnings).toEqual([expect.stringContaining('earlier boot')]);
          const failed = await unpack(reference, dest).catch((error: UnpackError) => error);
          expect(failed).toMatchObject({ code: 'ERR_SNAPSHOT_MOUNTED' });
        } finally {
          await unmount(target);
        }
        expect((await unpack(reference, dest)).status).toBe('unpacked');
      });
    },
  );
});

describe.skipIf(noLoop !== undefined)('a copy of the disk without a sync', () => {
  test.each(['none', 'wait'] as const)('durability %s', async (durability) => {
    await withLoopImage(ext4, async (root, image) => {
      const scratch = path.dirname(root);
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      await unpack(reference, path.join(root, 'dest'), { durability });
      const fs = 'dest/layers/000/fs';
      const whole = await treeHash(path.join(root, fs));
      // The kernel writes files in any order: what tells that a layer is there, before its files.
      for (const name of await readdir(path.join(root, 'dest'), { recursive: true })) {
        if (/\.(json|idx)$/.test(name)) {
          const told = await open(path.join(root, 'dest', name), 'r+');
          await told.sync();
          await told.close();
        }
      }
      const copy = path.join(scratch, 'copy');
      execFileSync('cp', ['--sparse=always', image, copy]);
      const at = path.join(scratch, 'at');
      await mkdir(at);
      execFileSync('mount', ['-o', 'loop', copy, at]);
      try {
        const dest = path.join(at, 'dest');
        const hosts = path.join(at, fs, 'etc/hosts');
        const isLost = durability === 'none';
        expect(await readFile(hosts, 'utf8')).toBe(isLost ? '' : 'localhost\n');
        const again = await unpack(reference, dest);
        expect(again.reusedLayers).toBe(isLost ? 0 : 2);
        expect(await treeHash(path.join(at, fs))).toBe(whole);
      } finally {
        execFileSync('umount', [at]);
      }
    });
  });
});
