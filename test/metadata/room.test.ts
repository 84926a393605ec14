// What a full disk does to the metadata: told before LMDB writes, and what frees room still works.

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Database } from '../../src/metadata/index.js';
import { fillDisk, unfillDisk, withTmpfs } from '../support/tmpfs.js';

const target = (character: string) => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: `sha256:${character.repeat(64)}`,
  size: 7,
});

async function using(disk: string, work: (database: Database) => void): Promise<void> {
  const database = Database.open(path.join(disk, 'store'));
  try {
    work(database);
  } finally {
    await database.close();
  }
}

/** Bytes that the data file has beyond its end. */
function reserved(disk: string): number {
  const { size, blocks } = statSync(path.join(disk, 'store/metadata/data.mdb'));
  return blocks * 512 - size;
}

describe.skipIf(process.geteuid?.() !== 0)('a disk that is full', () => {
  it('is told before anything is changed, and all is well again when there is room', async () => {
    await withTmpfs('size=16m', async (disk) => {
      await using(disk, () => {});
      const data = path.join(disk, 'store/metadata/data.mdb');
      writeFileSync(data, readFileSync(data)); // truncated first: what was reserved is gone
      expect(reserved(disk)).toBeLessThan(4096);
      fillDisk(disk);
      await using(disk, (database) => {
        const create = () =>
          database.update((tx) => tx.images.create({ name: 'a', target: target('a') }));
        expect(create).toThrow(expect.objectContaining({ code: 'ERR_NO_SPACE' }));
        expect(database.view((tx) => tx.images.list())).toEqual([]);
        unfillDisk(disk);
        create();
        expect(database.view((tx) => tx.images.list())).toMatchObject([{ name: 'a' }]);
      });
    });
  });

  it('lets go of what frees it: room was reserved while there was some', async () => {
    await withTmpfs('size=16m', async (disk) => {
      await using(disk, () => {});
      expect(reserved(disk)).toBeGreaterThan(2 ** 20);
      fillDisk(disk);
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
