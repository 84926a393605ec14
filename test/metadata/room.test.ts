// What a full disk does to the metadata: told before LMDB writes, and what frees room still works.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Database } from '../../src/metadata/index.js';
import { withScratch } from '../support/scratch.js';

const target = (character: string) => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: `sha256:${character.repeat(64)}`,
  size: 7,
});

/** A tmpfs of its own. */
async function withDisk(work: (disk: string) => Promise<void>) {
  await withScratch(async (scratch) => {
    const disk = path.join(scratch, 'disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', disk]);
    try {
      await work(disk);
    } finally {
      execFileSync('umount', [disk]);
    }
  });
}

async function using(disk: string, work: (database: Database) => void): Promise<void> {
  const database = Database.open(path.join(disk, 'store'));
  try {
    work(database);
  } finally {
    await database.close();
  }
}

function fill(file: string): void {
  for (const size of [1 << 20, 4096]) {
    try {
      for (;;) {
        writeFileSync(file, Buffer.alloc(size, 1), { flag: 'a' });
      }
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
    }
  }
}

/** Bytes that the data file has beyond its end. */
function reserved(disk: string): number {
  const { size, blocks } = statSync(path.join(disk, 'store/metadata/data.mdb'));
  return blocks * 512 - size;
}

describe.skipIf(process.geteuid?.() !== 0)('a disk that is full', () => {
  it('is told before anything is changed, and all is well again when there is room', async () => {
    await withDisk(async (disk) => {
      await using(disk, () => {});
      const data = path.join(disk, 'store/metadata/data.mdb');
      writeFileSync(data, readFileSync(data)); // truncated first: what was reserved is gone
      expect(reserved(disk)).toBeLessThan(4096);
      const ballast = path.join(disk, 'ballast');
      fill(ballast);
      await using(disk, (database) => {
        const create = () =>
          database.update((tx) => tx.images.create({ name: 'a', target: target('a') }));
        expect(create).toThrow(expect.objectContaining({ code: 'ERR_NO_SPACE' }));
        expect(database.view((tx) => tx.images.list())).toEqual([]);
        rmSync(ballast);
        create();
        expect(database.view((tx) => tx.images.list())).toMatchObject([{ name: 'a' }]);
      });
    });
  });

  it('lets go of what frees it: room was reserved while there was some', async () => {
    await withDisk(async (disk) => {
      await using(disk, () => {});
      expect(reserved(disk)).toBeGreaterThan(2 ** 20);
      fill(path.join(disk, 'ballast'));
      await using(disk, (database) => {
        database.update((tx) => tx.images.create({ name: 'a', target: target('a') }));
        for (let round = 0; round < 100; round++) {
          database.update((tx) => tx.images.create({ name: `b${round}`, target: target('b') }));
          database.update((tx) => tx.images.delete(`b${round}`));
        }
        expect(database.view((tx) => tx.images.list())).toMatchObject([{ name: 'a' }]);
      });
      expect(reserved(disk)).toBeGreaterThan(0);
    });
  });
});
