// A content store and its metadata on a file system that is full.

import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ContentStore } from '../../src/content/index.js';
import { Database } from '../../src/metadata/index.js';
import { fillDisk, unfillDisk, withTmpfs } from '../support/tmpfs.js';

const isRoot = process.getuid?.() === 0;
if (!isRoot) {
  console.log('skipped without root: a full file system is mounted');
}

async function onSmallDisk(work: (content: ContentStore, root: string, db: Database) => unknown) {
  await withTmpfs('size=4m', async (root) => {
    const database = Database.open(root);
    try {
      await work(new ContentStore({ root, database }), root, database);
    } finally {
      await database.close();
    }
  });
}

describe.skipIf(!isRoot)('on a full disk', () => {
  it('an ingest fails as such, leaves nothing, and works when there is space', () =>
    onSmallDisk(async (content, root) => {
      const big = randomBytes(6_000_000);
      for (let round = 0; round < 3; round++) {
        await expect(content.ingest('big', [big])).rejects.toMatchObject({
          code: 'ERR_NO_SPACE',
          errno: 'ENOSPC',
        });
        expect(readdirSync(path.join(root, 'ingest'))).toEqual([]);
        expect(content.list().length).toBe(round);
        await content.ingest('small', [randomBytes(500_000)]);
      }
      fillDisk(root);
      await expect(content.ingest('x', [randomBytes(10)])).rejects.toMatchObject({
        code: 'ERR_NO_SPACE',
      });
      unfillDisk(root);
      expect((await content.ingest('x', [randomBytes(10)])).size).toBe(10);
      expect(readdirSync(path.join(root, 'ingest'))).toEqual([]);
    }));

  it('a transaction fails as such, changes nothing, and works when there is space', () =>
    onSmallDisk(async (_content, root, database) => {
      const target = { mediaType: 'a/b', digest: `sha256:${'a'.repeat(64)}`, size: 1 };
      const labels = { padding: 'x'.repeat(3000) };
      let count = 0;
      const add = () =>
        database.update((tx) => {
          for (let n = 0; n < 20; n++) {
            tx.images.create({ name: `image-${count}-${n}`, target, labels });
          }
        });
      add();
      count++;
      fillDisk(root);
      for (let n = 0; n < 3; n++) {
        let error: unknown;
        try {
          // Pages that were let go of may take a few.
          for (; count < 100; count++) {
            add();
          }
        } catch (caught) {
          error = caught;
        }
        expect(error).toMatchObject({ code: 'ERR_NO_SPACE' });
        expect(database.view((tx) => tx.images.list()).length).toBe(20 * count);
      }
      unfillDisk(root);
      add();
      count++;
      expect(database.view((tx) => tx.images.list()).length).toBe(20 * count);
      await database.close();
      const again = Database.open(root, { readOnly: true });
      expect(again.view((tx) => tx.images.list()).length).toBe(20 * count);
      await again.close();
    }));
});
