// Stores of before the first release, whose data the package `lmdb` has written in a form of its own.

import { existsSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { open } from 'lmdb';
import { describe, expect, it } from 'vitest';
import { Database } from '../../src/metadata/index.js';
import { Tree } from '../../src/metadata/tree.js';
import { makeDirectorySync } from '../../src/native/index.js';
import { withScratch } from '../support/scratch.js';

const keys = {
  writeKey: (key: string, target: Buffer, start: number) => start + target.write(key, start),
  readKey: (source: Buffer, start: number, end: number) => source.toString('utf8', start, end),
};

/** What a store of that time would have at `root`, written in several transactions. */
async function writeEarlier(root: string, entries: ReadonlyMap<string, unknown>): Promise<void> {
  const directory = path.join(root, 'metadata');
  makeDirectorySync(directory);
  const database = open<unknown, string>(directory, {
    noSubdir: false,
    overlappingSync: false,
    encoding: 'json',
    keyEncoder: keys,
  });
  const all = [...entries];
  for (let from = 0; from < all.length; from += 500) {
    database.transactionSync(() => {
      for (const [key, value] of all.slice(from, from + 500)) {
        database.putSync(key, value);
      }
    });
  }
  await database.close();
}

/** Thousands, so that the tree has branches; some with a value of several pages; keys of more than ASCII. */
function manyEntries(): Map<string, unknown> {
  const entries = new Map<string, unknown>([['m\tversion', 1]]);
  for (let at = 0; at < 3000; at++) {
    const text = at % 100 === 0 ? 'lång '.repeat(at + 1000) : `${at}`;
    entries.set(`i\tdefault\tbild-ä${at}`, [[], at, 2 * at, 'type', `sha256:${at}`, 7, text]);
  }
  return entries;
}

describe('data of before the first release', () => {
  it('is written anew when it is opened for writing, and has all that it had', () =>
    withScratch(async (root) => {
      const entries = manyEntries();
      await writeEarlier(root, entries);
      const directory = path.join(root, 'metadata');
      const readOnly = () => Database.open(root, { readOnly: true });
      expect(readOnly).toThrow(
        expect.objectContaining({
          code: 'ERR_STORE_VERSION',
          message: expect.stringMatching(/opened for writing once/),
        }),
      );
      makeDirectorySync(path.join(directory, 'converted')); // of one that was killed
      const tree = new Tree(directory, { readOnly: false, sync: true });
      const found = new Map<string, unknown>();
      tree.view(() => {
        for (const prefix of ['i\t', 'm\t']) {
          for (const [rest, value] of tree.range(prefix)) {
            found.set(prefix + rest, value);
          }
        }
        expect(tree.count('i\t')).toBe(3000);
      });
      await tree.close();
      expect(found).toEqual(entries);
      expect(readdirSync(directory).sort()).toEqual(['data.mdb', 'lock.mdb', 'write.lock']);
      const database = readOnly();
      expect(database.view((tx) => tx.images.columns().updatedAt.split('\n').length)).toBe(3000);
      await database.close();
    }));

  it('of which a part is missing is left as it is', () =>
    withScratch(async (root) => {
      await writeEarlier(root, manyEntries());
      const file = path.join(root, 'metadata', 'data.mdb');
      truncateSync(file, 64 << 10);
      const before = readFileSync(file);
      expect(() => Database.open(root)).toThrow(
        expect.objectContaining({ code: 'ERR_STORE_CORRUPT' }),
      );
      expect(readFileSync(file).equals(before)).toBe(true);
      expect(existsSync(path.join(root, 'metadata', 'converted'))).toBe(false);
    }));
});
