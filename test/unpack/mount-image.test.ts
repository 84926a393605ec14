import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { mountImage, unmount, unpackLayer } from '../../src/index.js';
import { unpack } from '../support/image.js';
import { overlayMissing } from '../support/mount.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, type TarItem, whiteout } from '../support/tar-builder.js';
import { withTmpfs } from '../support/tmpfs.js';
import { writeImage } from '../support/write-image.js';

const run = promisify(execFile);
const missing = process.getuid?.() === 0 ? await overlayMissing() : 'mounting needs root';
if (missing !== undefined) {
  console.log(`skipped: ${missing}`);
}

const layers: TarItem[][] = [
  [dir('etc'), file('etc/hosts', 'localhost\n'), file('etc/old', 'old')],
  [whiteout('etc/old'), file('etc/new', 'new')],
];

async function withMounted(
  dest: string,
  target: string,
  options: { upper?: string },
  work: () => Promise<void>,
): Promise<void> {
  await mkdir(target, { recursive: true });
  await mountImage(dest, target, options);
  try {
    await work();
  } finally {
    await unmount(target);
  }
  expect(await readdir(target)).toEqual([]);
}

describe.skipIf(missing !== undefined)('mountImage', () => {
  test.each(['overlay', 'overlay-userxattr', 'flat'] as const)('%s, read-only', async (format) => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const dest = path.join(scratch, 'dest');
      await unpack(reference, dest, { format });
      const target = path.join(scratch, 'target');
      await withMounted(dest, target, {}, async () => {
        expect((await readdir(path.join(target, 'etc'))).sort()).toEqual(['hosts', 'new']);
        await expect(writeFile(path.join(target, 'x'), 'x')).rejects.toMatchObject({
          code: 'EROFS',
        });
      });
    });
  });

  test('a read-only place for the upper directory or a layer is told as such', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const dest = path.join(scratch, 'dest');
      await unpack(reference, dest);
      await withTmpfs('ro', async (disk) => {
        const refused = { code: 'ERR_PERMISSION', errno: 'EROFS' };
        const upper = path.join(disk, 'a/upper');
        await expect(mountImage(dest, scratch, { upper })).rejects.toMatchObject(refused);
        const layer = unpackLayer(Buffer.alloc(0), path.join(disk, 'a/layer'));
        await expect(layer).rejects.toMatchObject(refused);
      });
    });
  });

  test('one layer', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers.slice(0, 1));
      const dest = path.join(scratch, 'dest');
      await unpack(reference, dest);
      const target = path.join(scratch, 'target');
      await withMounted(dest, target, {}, async () => {
        expect((await readdir(path.join(target, 'etc'))).sort()).toEqual(['hosts', 'old']);
        await expect(writeFile(path.join(target, 'x'), 'x')).rejects.toMatchObject({
          code: 'EROFS',
        });
      });
    });
  });

  test.each(['overlay', 'overlay-userxattr', 'flat'] as const)(
    '%s with an upper directory keeps changes there',
    async (format) => {
      await withScratch(async (scratch) => {
        const reference = await writeImage(path.join(scratch, 'layout'), layers);
        const dest = path.join(scratch, 'dest');
        await unpack(reference, dest, { format });
        const upper = path.join(scratch, 'changes');
        const target = path.join(scratch, 'target');
        await withMounted(dest, target, { upper }, async () => {
          await writeFile(path.join(target, 'etc/hosts'), 'changed\n');
        });
        expect(await readFile(path.join(upper, 'etc/hosts'), 'utf8')).toBe('changed\n');
        await withMounted(dest, target, { upper }, async () => {
          expect(await readFile(path.join(target, 'etc/hosts'), 'utf8')).toBe('changed\n');
        });
        expect((await unpack(reference, dest, { format })).status).toBe('confirmed');
      });
    },
  );

  test('120 layers with long paths, read-only and with an upper, beyond the 4 KiB of mount(2)', async () => {
    await withScratch(async (scratch) => {
      const many = Array.from({ length: 120 }, (_, index): TarItem[] => [
        dir(`d${index}`),
        file(`d${index}/f`, String(index)),
        file('top', String(index)),
        ...(index > 0 ? [whiteout(`d${index - 1}/f`)] : []),
      ]);
      const reference = await writeImage(path.join(scratch, 'layout'), many);
      const dest = path.join(scratch, 'x'.repeat(200), 'y'.repeat(200), 'with:colon,comma\\');
      const report = await unpack(reference, dest);
      expect(report.mounts[0]?.options.join().length).toBeGreaterThan(40_000);
      const target = path.join(scratch, 'target');
      for (const options of [{}, { upper: path.join(scratch, 'upper') }]) {
        await withMounted(dest, target, options, async () => {
          expect(await readFile(path.join(target, 'top'), 'utf8')).toBe('119');
          expect(await readFile(path.join(target, 'd119/f'), 'utf8')).toBe('119');
          expect(await readdir(path.join(target, 'd118'))).toEqual([]);
          expect(await readdir(target)).toHaveLength(121);
        });
      }
    });
  });

  test('the mounts of image.json are what mount(8) takes, odd characters of the path too', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const { mounts } = await unpack(reference, path.join(scratch, 'a:b\\c d'));
      const target = path.join(scratch, 'target');
      await mkdir(target);
      for (const { type, source, options } of mounts) {
        await run('mount', ['-t', type, '-o', options.join(','), source, target]);
        try {
          expect((await readdir(path.join(target, 'etc'))).sort()).toEqual(['hosts', 'new']);
        } finally {
          await run('umount', [target]);
        }
      }
    });
  });
});

test('what cannot be mounted is a typed error', async () => {
  await withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), layers);
    const dest = path.join(scratch, 'dest');
    const target = path.join(scratch, 'target');
    await mkdir(target);
    await expect(mountImage(scratch, target)).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
    await writeFile(path.join(scratch, 'image.json'), '{}');
    await expect(mountImage(scratch, target)).rejects.toMatchObject({ code: 'ERR_INVALID_IMAGE' });
    await unpack(reference, dest);
    await expect(mountImage(dest, path.join(scratch, 'none'))).rejects.toMatchObject({
      name: 'UnpackError',
    });
    await expect(unmount(target)).rejects.toMatchObject({ code: 'ERR_MOUNT' });
  });
});
