// Every way in which an image is wrong or the host refuses: a typed error that names the layer and the path, exit
// code 1, and no half layer left. What was whole before stays.

import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type UnpackErrorCode, unpackImage, unpackLayer } from '../../src/index.js';
import { digestOf, mediaTypes } from '../../src/oci/index.js';
import { runCommand } from '../support/command.js';
import { type LayoutImage, putBlob, writeLayout, zstdStored } from '../support/layout-builder.js';
import { withScratch } from '../support/scratch.js';
import { dir, fifo, file, tar } from '../support/tar-builder.js';
import { withTmpfs } from '../support/tmpfs.js';

const root = process.getuid?.() === 0;
const platform = 'linux/amd64';
const good = tar([dir('etc'), file('etc/hosts', 'localhost\n')]);
const bad = tar([dir('usr'), file('usr/bad', 'x'.repeat(5000)), file('usr/last', 'y')]);

interface Failure {
  code: UnpackErrorCode;
  /** In the error's path. */
  path?: string;
  /** Makes the second of two layers bad. */
  image?: Partial<LayoutImage>;
  /** Other bytes for the second layer, with a descriptor that fits them. */
  blob?: Buffer;
  mediaType?: string;
  diffID?: string;
}

const gzipped = gzipSync(bad);
const failures: Record<string, Failure> = {
  'a wrong blob digest': {
    code: 'ERR_DIGEST_MISMATCH',
    image: { layerBlob: (blob, index) => (index === 1 ? damaged(blob) : blob) },
  },
  'a wrong diffID': { code: 'ERR_DIFFID_MISMATCH', diffID: digestOf('something else') },
  'a blob of another size': {
    code: 'ERR_SIZE_MISMATCH',
    image: { layerBlob: (blob, index) => (index === 1 ? blob.subarray(0, -1) : blob) },
  },
  'a truncated gzip': { code: 'ERR_TRUNCATED', blob: gzipped.subarray(0, gzipped.length - 20) },
  'a gzip without its trailer': {
    code: 'ERR_TRUNCATED',
    blob: gzipped.subarray(0, gzipped.length - 4),
  },
  'a gzip with a wrong CRC': {
    code: 'ERR_INVALID_GZIP',
    blob: damaged(gzipped, gzipped.length - 6),
  },
  'a truncated zstd': {
    code: 'ERR_TRUNCATED',
    blob: zstdStored(bad).subarray(0, -100),
    mediaType: mediaTypes.ociLayerZstd,
  },
  'a truncated tar': {
    code: 'ERR_TRUNCATED',
    blob: bad.subarray(0, 4096),
    mediaType: mediaTypes.ociLayer,
    diffID: digestOf(bad.subarray(0, 4096)),
    path: 'usr/bad',
  },
  'a missing blob': {
    code: 'ERR_BLOB_NOT_FOUND',
    image: { layerBlob: (blob, index) => (index === 1 ? undefined : blob) },
  },
  'an unknown media type': {
    code: 'ERR_UNKNOWN_MEDIA_TYPE',
    image: {
      layer: (descriptor, index) =>
        index === 1 ? { ...descriptor, mediaType: 'application/x-squashfs' } : descriptor,
    },
  },
  'a layer that is no tar': {
    code: 'ERR_INVALID_TAR',
    blob: Buffer.from('hello world '.repeat(100)),
    mediaType: mediaTypes.ociLayer,
  },
  'an entry that leaves the root': {
    code: 'ERR_INVALID_ENTRY',
    blob: gzipSync(tar([file('../outside', 'x')])),
    path: 'outside',
  },
};

describe.each(Object.entries(failures))('%s', (_, failure) => {
  test.each(['overlay', 'flat'] as const)('%s', async (format) => {
    await withScratch(async (scratch) => {
      const { reference, layer } = await writeBad(path.join(scratch, 'layout'), failure);
      const dest = path.join(scratch, 'dest');
      const error = await unpackImage(reference, dest, { platform, format }).catch((e) => e);
      expect(error).toMatchObject({ name: 'UnpackError', code: failure.code, layer });
      expect(error.message).toContain(layer);
      expect(error.fix).not.toBe('');
      if (failure.path !== undefined) {
        expect(error.path).toContain(failure.path);
      }
      await expectNothingHalf(dest);
    });
  });

  test('exit code 1, and the error on stderr', async () => {
    await withScratch(async (scratch) => {
      const { reference, layer } = await writeBad(path.join(scratch, 'layout'), failure);
      const dest = path.join(scratch, 'dest');
      const result = await runCommand(['unpack', reference, dest, '-p', platform]);
      expect(result).toMatchObject({ code: 1, stdout: '' });
      expect(result.stderr).toMatch(new RegExp(`^oci-unpack: ${failure.code}: .*${layer}`));
      expect(result.stderr).toMatch(/\nfix: \S.*\n$/);
      await expectNothingHalf(dest);
    });
  });
});

describe('the host refuses', () => {
  test.skipIf(!root)('a full disk (needs root, for a small tmpfs)', async () => {
    await withScratch(async (scratch) => {
      const { reference, layers } = await writeGood(path.join(scratch, 'layout'), [
        good,
        tar([file('small', 'x'), file('big', Buffer.alloc(4 * 2 ** 20, 1))]),
      ]);
      await withTmpfs('size=2m', async (disk) => {
        const dest = path.join(disk, 'dest');
        // One at a time: else the other layer may be the one that finds no room left.
        const options = { platform, concurrency: 1 };
        const error = await unpackImage(reference, dest, options).catch((e) => e);
        expect(error).toMatchObject({ code: 'ERR_NO_SPACE', errno: 'ENOSPC', layer: layers[1] });
        expect(error.path).toContain('big');
        await expectNothingHalf(dest);
        const again = await runCommand(['unpack', reference, dest, '-p', platform]);
        expect(again.code).toBe(1);
        expect(again.stderr).toContain('ERR_NO_SPACE');
        expect(layers.some((layer) => again.stderr.includes(layer))).toBe(true);
        await expectNothingHalf(dest);
      });
    });
  });

  // Root reads everything; without these capabilities it is like any user.
  const powerless = root
    ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search,-fowner', '--']
    : [];

  test('an unreadable layer', async () => {
    await withScratch(async (scratch) => {
      const layout = path.join(scratch, 'layout');
      const { reference, layers } = await writeGood(layout, [good, bad]);
      const blob = path.join(layout, 'blobs', (layers[1] ?? '').replace(':', '/'));
      await chmod(blob, 0);
      const dest = path.join(scratch, 'dest');
      const args = ['unpack', reference, dest, '-p', platform, '--ownership', 'ignore'];
      const result = await runCommand([...args, '--json'], { wrapper: powerless });
      expect(result.code).toBe(1);
      const { error } = JSON.parse(result.stdout);
      expect(error).toMatchObject({ code: 'ERR_PERMISSION', errno: 'EACCES', layer: layers[1] });
      expect(error.path).toBe(blob);
      await expectNothingHalf(dest);
    });
  });

  test('a destination without write permission', async () => {
    await withScratch(async (scratch) => {
      const { reference } = await writeGood(path.join(scratch, 'layout'), [good]);
      const parent = path.join(scratch, 'parent');
      await mkdir(parent, { mode: 0o500 });
      const dest = path.join(parent, 'dest');
      const args = ['unpack', reference, dest, '-p', platform, '--json'];
      const result = await runCommand(args, { wrapper: powerless });
      expect(result.code).toBe(1);
      const { error } = JSON.parse(result.stdout);
      expect(error).toMatchObject({ code: 'ERR_PERMISSION', errno: 'EACCES' });
      expect(error.path).toContain(parent);
      expect(await readdir(parent)).toEqual([]);
    });
  });

  test.skipIf(!root)('owners without the right to chown (needs root, to drop it)', async () => {
    await withScratch(async (scratch) => {
      const layers = [good, tar([file('home/file', 'x', { uid: 1000, gid: 1000 })])];
      const { reference, layers: digests } = await writeGood(path.join(scratch, 'layout'), layers);
      const dest = path.join(scratch, 'dest');
      const wrapper = ['setpriv', '--bounding-set=-chown', '--'];
      const args = ['unpack', reference, dest, '-p', platform, '--json'];
      const result = await runCommand(args, { wrapper });
      expect(result.code).toBe(1);
      const { error } = JSON.parse(result.stdout);
      expect(error).toMatchObject({ errno: 'EPERM', layer: digests[1] });
      expect(['ERR_PERMISSION', 'ERR_OWNERSHIP']).toContain(error.code);
      expect(error.path).toContain('home/file');
      await expectNothingHalf(dest);
      const ignored = await runCommand([...args, '--ownership', 'ignore'], { wrapper });
      expect(ignored.code).toBe(0);
    });
  });

  test.skipIf(!root).each([
    ['a file', file('bin/write', 'x', { gid: 1000, mode: 0o2755 })],
    ['a directory', dir('var/mail', { gid: 1000, mode: 0o2775 })],
    ['a fifo', fifo('run/queue', { gid: 1000, mode: 0o2660 })],
  ])('set-gid without CAP_FSETID, which chmod(2) drops in silence: %s', async (_, entry) => {
    await withScratch(async (scratch) => {
      const { reference } = await writeGood(path.join(scratch, 'layout'), [tar([entry])]);
      const wrapper = ['setpriv', '--bounding-set=-fsetid', '--'];
      const args = ['unpack', reference, path.join(scratch, 'dest'), '-p', platform, '--json'];
      const result = await runCommand(args, { wrapper });
      expect(result.code).toBe(1);
      const { error } = JSON.parse(result.stdout);
      expect(error).toMatchObject({ code: 'ERR_PERMISSION', path: entry.path, errno: 'EPERM' });
      expect(error.message).toContain('CAP_FSETID');
    });
  });
});

function damaged(bytes: Buffer, at = bytes.length >> 1): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}

async function writeGood(layout: string, tars: Buffer[]) {
  const { images } = await writeLayout(layout, { images: [{ platform, layers: tars }] });
  return {
    reference: `oci:${layout}`,
    layers: images[0]?.layers.map(({ digest }) => digest) ?? [],
  };
}

/** A layout of a good layer and a bad one above it, and the digest of the bad one. */
async function writeBad(layout: string, failure: Failure) {
  const { blob, mediaType = mediaTypes.ociLayerGzip, diffID } = failure;
  const { images } = await writeLayout(layout, {
    images: [
      {
        platform,
        layers: [good, bad],
        ...(blob && {
          layer: (descriptor, index) =>
            index === 1 ? { mediaType, digest: digestOf(blob), size: blob.length } : descriptor,
        }),
        ...(diffID && {
          config: (config) => ({
            ...config,
            rootfs: { type: 'layers', diff_ids: [digestOf(good), diffID] },
          }),
        }),
        ...failure.image,
      },
    ],
  });
  if (blob !== undefined) {
    await putBlob(layout, blob);
  }
  return { reference: `oci:${layout}`, layer: images[0]?.layers[1]?.digest ?? '' };
}

/** Nothing at all, or the whole layer below the bad one and no trace of staging. */
async function expectNothingHalf(dest: string): Promise<void> {
  const names = await readdir(dest).catch(() => []);
  if (names.length > 0) {
    expect(names.sort()).toEqual(['.oci-unpack', 'layers']);
    expect(await readdir(path.join(dest, 'layers'))).toEqual(['000']);
    expect((await readdir(path.join(dest, 'layers/000'))).sort()).toEqual([
      'fs',
      'layer.json',
      'tree.idx',
    ]);
    expect((await readdir(path.join(dest, '.oci-unpack'))).sort()).toEqual(['lock', 'state.json']);
  }
  await rm(dest, { recursive: true, force: true });
}

describe.skipIf(!root)('what cannot be cleaned up', () => {
  const mount = (at: string) => execFileSync('mount', ['-t', 'tmpfs', 'in the way', at]);

  test('hides not why an image failed', async () => {
    await withScratch(async (scratch) => {
      const directory = path.join(scratch, 'layout');
      const layers = [good, bad];
      await writeLayout(directory, {
        images: [{ tag: 'latest', platform, layers, layerBlob: (blob) => damaged(blob) }],
      });
      const destination = path.join(scratch, 'out');
      const busy = path.join(destination, '.oci-unpack/staging/000/fs');
      let mounted = false;
      const onProgress = () => {
        if (!mounted) {
          mount(busy);
          mounted = true;
        }
      };
      try {
        const unpacking = unpackImage(`oci:${directory}`, destination, { platform, onProgress });
        await expect(unpacking).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' });
      } finally {
        execFileSync('umount', [busy]);
      }
    });
  });

  test('hides not why a layer failed', async () => {
    await withScratch(async (scratch) => {
      let busy = '';
      async function* source() {
        const [name = ''] = (await readdir(scratch)).filter((one) => one.startsWith('.out.'));
        busy = path.join(scratch, name, 'layer');
        mount(busy);
        yield good.subarray(0, 512);
        throw new Error('gone');
      }
      try {
        const unpacking = unpackLayer(source(), path.join(scratch, 'out'));
        await expect(unpacking).rejects.toThrow('the source failed');
      } finally {
        execFileSync('umount', [busy]);
      }
    });
  });
});
