// Room on the disk: asked for before anything is written, and cleaned up after where the disk is full all the same.

import { execFileSync } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { UnpackError } from '../../src/index.js';
import { examineHost, Store } from '../../src/index.js';
import { checkSpace, uncompressedSize } from '../../src/source/space.js';
import { withScratch } from '../support/scratch.js';
import { dir, file } from '../support/tar-builder.js';
import { withTmpfs } from '../support/tmpfs.js';
import { writeImage } from '../support/write-image.js';
import { leftovers } from './crash.js';

const isRoot = process.geteuid?.() === 0;
const noise = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 2_654_435_761) >>> 13));

/** Opens, works, closes: an open one keeps its disk busy. */
async function using(root: string, work: (store: Store) => Promise<void>): Promise<void> {
  const store = await Store.open(root);
  try {
    await work(store);
  } finally {
    await store.close();
  }
}

describe('uncompressedSize', () => {
  const content = Buffer.alloc(1_000_000, 'some text that compresses. ');
  const cases: [string, Buffer, number][] = [
    ['gzip by its trailer', gzipSync(content), content.length],
    ['a plain tar by its length', noise, noise.length],
    ['a guess for gzip of many members', Buffer.concat([gzipSync(noise), gzipSync('x')]), -2],
    ['nothing for nothing', Buffer.alloc(0), 0],
  ];
  // RFC 8878: magic, a descriptor that says that a size of eight bytes follows a window, the size.
  const frame = Buffer.from('28b52ffdc000', 'hex');
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(5_000_000_000n);
  const zstd = Buffer.concat([frame, size, Buffer.alloc(100)]);
  cases.push(['zstd by its first frame', zstd, 5_000_000_000]);
  it.each(cases)('tells %s', async (_, blob, size) => {
    await withScratch(async (scratch) => {
      const file = path.join(scratch, 'blob');
      await writeFile(file, Buffer.concat([Buffer.from('before'), blob, Buffer.from('after')]));
      const told = await uncompressedSize({ path: file, offset: 6, length: blob.length });
      expect(told).toBe(size < 0 ? blob.length * -size : size);
    });
  });
});

it.skipIf(!isRoot)('a file system that counts no blocks is not a full one', async () => {
  await withScratch(async (scratch) => {
    execFileSync('mount', ['-t', 'ramfs', 'ramfs', scratch]);
    try {
      await checkSpace(scratch, { bytes: 1000, inodes: 10 });
      const { checks } = await examineHost({ directory: scratch });
      const found = checks.find(({ name }) => name === 'free-bytes');
      expect([found?.status, found?.value]).toEqual(['ok', 'not bounded']);
    } finally {
      execFileSync('umount', [scratch]);
    }
  });
});

describe.skipIf(!isRoot)('a disk that is too small', () => {
  it('is refused before anything is written, with both numbers of bytes', async () => {
    await withTmpfs('size=8m', async (disk) => {
      await withScratch(async (scratch) => {
        const big = [file('big', Buffer.alloc(64 * 2 ** 20, 'x'))];
        const reference = await writeImage(path.join(scratch, 'layout'), [big], ['gzip']);
        await using(path.join(disk, 'store'), async (store) => {
          const error = await store.import(reference).catch((reason: unknown) => reason);
          expect(error).toMatchObject({ code: 'ERR_NO_SPACE' });
          const { needed, available, message } = error as UnpackError;
          expect(needed?.bytes).toBeGreaterThan(64 * 2 ** 20);
          expect(available?.bytes).toBeLessThan(8 * 2 ** 20);
          expect(message).toContain(String(needed?.bytes));
          expect(message).toContain(String(available?.bytes));
          expect(store.content.list()).toEqual([]);
          expect(await leftovers(store.root)).toEqual([]);
        });
      });
    });
  });

  it('is refused for want of inodes', async () => {
    await withTmpfs('size=500m,nr_inodes=120', async (disk) => {
      await withScratch(async (scratch) => {
        const big = [file('big', Buffer.alloc(32 * 2 ** 20, 'x'))];
        const reference = await writeImage(path.join(scratch, 'layout'), [big], ['gzip']);
        await using(path.join(disk, 'store'), async (store) => {
          await expect(store.import(reference)).rejects.toMatchObject({
            code: 'ERR_NO_SPACE',
            needed: { inodes: expect.any(Number) },
          });
          expect(store.content.list()).toEqual([]);
        });
      });
    });
  });

  it('without an inode left still lets go of images and containers', async () => {
    await withTmpfs('size=64m,nr_inodes=100', async (disk) => {
      await withScratch(async (scratch) => {
        const root = path.join(disk, 'store');
        for (const name of ['one', 'two']) {
          const layout = await writeImage(path.join(scratch, name), [[file(name, name)]]);
          await using(root, async (store) => void (await store.import(layout, { name })));
        }
        await using(
          root,
          async (store) => void (await store.containers.create('two', { id: 'c' })),
        );
        for (let at = 0; ; at++) {
          const filler = path.join(disk, `filler-${at}`);
          const failed = await writeFile(filler, '').catch((error: NodeJS.ErrnoException) => error);
          if (failed !== undefined) {
            expect(failed.code).toBe('ENOSPC');
            break;
          }
        }
        await using(root, async (store) => {
          await expect(store.containers.create('two')).rejects.toMatchObject({
            code: 'ERR_NO_SPACE',
          });
          store.images.remove('one');
          expect(await store.gc()).toMatchObject({ snapshots: [{}], content: [{}, {}, {}] });
        });
        expect(await readdir(path.join(root, 'snapshots'))).toHaveLength(2);
        await writeFile(path.join(disk, 'more'), ''); // there is room
        await using(root, async (store) => {
          await store.containers.remove('c');
          store.images.remove('two');
          await store.gc();
          expect(await leftovers(root)).toEqual([]);
        });
        expect(await readdir(path.join(root, 'snapshots'))).toEqual([]);
      });
    });
  });

  it('that fills in the middle is cleaned up, and goes on when there is room', async () => {
    await withTmpfs('size=24m,nr_inodes=800', async (disk) => {
      await withScratch(async (scratch) => {
        // More files than the low guess expects.
        const layer = (name: string, count: number) => [
          dir(name),
          ...Array.from({ length: count }, (_, at) => file(`${name}/${at}`, 'x')),
        ];
        const reference = await writeImage(path.join(scratch, 'layout'), [
          layer('few', 20),
          layer('many', 2000),
        ]);
        await using(path.join(disk, 'store'), async (store) => {
          await expect(store.import(reference)).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
          expect(await readdir(path.join(store.root, 'locks'))).toEqual([]);
          const staged = (await leftovers(store.root)).filter((name) => name.startsWith('staging'));
          expect(staged).toEqual([]);
          expect(store.leases.list()).toEqual([]);
          execFileSync('mount', ['-o', 'remount,nr_inodes=10000', disk]);
          const report = await store.import(reference);
          expect(report.layers.at(-1)?.status).toBe('unpacked');
        });
      });
    });
  });
});
