import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { UnpackError } from '../../src/errors.js';
import { Database, type DatabaseOptions, schemaVersion } from '../../src/metadata/index.js';
import { Tree } from '../../src/metadata/tree.js';
import { withScratch } from '../support/scratch.js';

const digest = (character: string) => `sha256:${character.repeat(64)}`;
const target = (character: string) => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: digest(character),
  size: 7,
});

async function withDatabase<T>(work: (database: Database, root: string) => T | Promise<T>) {
  return withScratch(async (root) => {
    const database = Database.open(root, { durability: 'none' });
    try {
      return await work(database, root);
    } finally {
      await database.close();
    }
  });
}

async function reopen<T>(root: string, options: DatabaseOptions, work: (database: Database) => T) {
  const database = Database.open(root, options);
  try {
    return work(database);
  } finally {
    await database.close();
  }
}

describe('a database', () => {
  it('keeps what a transaction wrote, in a directory for its owner alone', () =>
    withScratch(async (root) => {
      await reopen(root, {}, (database) =>
        database.update((tx) => tx.images.create({ name: 'a', target: target('a') })),
      );
      expect(statSync(path.join(root, 'metadata')).mode & 0o777).toBe(0o700);
      const image = await reopen(root, { readOnly: true }, (database) =>
        database.view((tx) => tx.images.get('a')),
      );
      expect(image).toMatchObject({ name: 'a', target: target('a'), labels: {} });
      expect(image.createdAt).toBeGreaterThan(Date.now() - 60_000);
    }));

  it('takes everything back when the function throws', () =>
    withDatabase((database) => {
      const boom = new Error('boom');
      expect(() =>
        database.update((tx) => {
          tx.images.create({ name: 'a', target: target('a') });
          tx.snapshots('native').create({ key: 'k', kind: 'active' });
          throw boom;
        }),
      ).toThrow('boom');
      database.view((tx) => {
        expect(tx.images.list()).toEqual([]);
        expect(tx.snapshots('native').list()).toEqual([]);
        expect(tx.namespaces.list()).toEqual([]);
      });
    }));

  it('sees its own writes in a transaction, in lookups and ranges', () =>
    withDatabase((database) => {
      database.update((tx) => {
        tx.images.create({ name: 'b', target: target('b') });
        tx.images.create({ name: 'a', target: target('a') });
        tx.images.delete('b');
        expect(tx.images.list().map((image) => image.name)).toEqual(['a']);
        expect(database.view((inner) => inner.images.find('a'))).toBeDefined();
      });
    }));

  it('refuses a function that is asynchronous, and one update in another', () =>
    withDatabase((database) => {
      expect(() =>
        database.update(async (tx) => tx.images.set({ name: 'a', target: target('a') })),
      ).toThrow(/asynchronous/);
      expect(() => database.update(() => database.update(() => 1))).toThrow(/inside a write/);
      expect(database.view((tx) => tx.images.list())).toEqual([]);
      expect(database.update(() => 5)).toBe(5);
    }));

  it('refuses a write in a view, and after its transaction', () =>
    withDatabase((database) => {
      const image = { name: 'a', target: target('a') };
      const readOnly = expect.objectContaining({ code: 'ERR_STORE_READ_ONLY' });
      expect(() => database.view((tx) => tx.images.create(image))).toThrow(readOnly);
      const late = database.update((tx) => tx);
      const ended = expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' });
      expect(() => late.images.create(image)).toThrow(ended);
      expect(() => late.images.list()).toThrow(/outside of a transaction/);
      expect(() => database.view(() => late.images.create(image))).toThrow(readOnly);
      expect(database.view((tx) => tx.images.list())).toEqual([]);
    }));

  it('sees in a view inside a view what the outer one sees', () =>
    withDatabase((database) => {
      const other = (name: string) =>
        database.update((tx) => tx.images.create({ name, target: target('a') }));
      other('a');
      database.view((tx) => {
        other('b');
        const inner = database.view((one) => one.images.list().length);
        expect(tx.images.list().length).toBe(inner);
      });
    }));

  it('shares one process with another handle of the same root', () =>
    withDatabase(async (database, root) => {
      const other = Database.open(root, { durability: 'none' });
      database.update((tx) => tx.images.create({ name: 'a', target: target('a') }));
      expect(other.view((tx) => tx.images.list()).length).toBe(1);
      other.update((tx) => tx.images.create({ name: 'b', target: target('b') }));
      expect(database.view((tx) => tx.images.list()).length).toBe(2);
      await other.close();
      await other.close();
      expect(() => other.view(() => 1)).toThrow(/closed/);
      expect(database.view((tx) => tx.images.list()).length).toBe(2);
    }));

  it('keeps images, containers and leases of namespaces apart, and shares content and snapshots', () =>
    withDatabase((database) => {
      database.update((tx) => {
        tx.images.create({ name: 'a', target: target('a') });
        const other = tx.in('other');
        other.images.create({ name: 'a', target: target('b') });
        other.containers.create({ id: 'c' });
        other.leases.create({ id: 'l' });
        other.content.create({ digest: digest('a'), size: 1 });
        other.snapshots('native').create({ key: 'k', kind: 'active' });
      });
      database.view((tx) => {
        expect(tx.images.get('a').target.digest).toBe(digest('a'));
        expect(tx.in('other').images.get('a').target.digest).toBe(digest('b'));
        expect(tx.containers.list()).toEqual([]);
        expect(tx.leases.list()).toEqual([]);
        expect(tx.content.list().length).toBe(1);
        expect(tx.snapshots('native').keys()).toEqual(['k']);
        expect(tx.snapshotters()).toEqual(['native']);
      });
    }));

  it('grows past its first map, and other handles follow', () =>
    withDatabase(async (database, root) => {
      const other = Database.open(root, { durability: 'none', readOnly: true });
      expect(other.view((tx) => tx.images.list())).toEqual([]);
      const labels = { padding: 'x'.repeat(4000) };
      for (let round = 0; round < 10; round++) {
        database.update((tx) => {
          for (let n = 0; n < 500; n++) {
            tx.images.create({ name: `image-${round}-${n}`, target: target('a'), labels });
          }
        });
        expect(other.view((tx) => tx.images.list()).length).toBe((round + 1) * 500);
      }
      await other.close();
    }));
});

describe('opening', () => {
  it('says that there is no store when it may not make one', () =>
    withScratch(async (root) => {
      expect(() => Database.open(root, { readOnly: true })).toThrow(
        expect.objectContaining({ code: 'ERR_NOT_FOUND' }),
      );
    }));

  it('takes one whose maker was killed before its first transaction for empty', () =>
    withScratch(async (root) => {
      await new Tree(path.join(root, 'metadata'), { readOnly: false, sync: false }).close();
      await reopen(root, { readOnly: true }, (database) => {
        expect(database.view((tx) => tx.images.list())).toEqual([]);
      });
    }));

  it('refuses a write through a handle for reading', () =>
    withDatabase((_, root) =>
      reopen(root, { readOnly: true }, (database) => {
        expect(() => database.update(() => 1)).toThrow(
          expect.objectContaining({ code: 'ERR_STORE_READ_ONLY' }),
        );
      }),
    ));

  it.each(['garbage'.repeat(10_000), 'x', ''.padEnd(8192, '\0')])(
    'refuses a file that is no database',
    (content) =>
      withScratch(async (root) => {
        mkdirSync(path.join(root, 'metadata'));
        writeFileSync(path.join(root, 'metadata', 'data.mdb'), content);
        expect(() => Database.open(root)).toThrow(
          expect.objectContaining({ code: 'ERR_STORE_CORRUPT' }),
        );
      }),
  );

  it('refuses a file that was cut off, wherever, and takes one that only lacks free pages', () =>
    withScratch(async (root) => {
      const labels = { long: 'x'.repeat(4000) };
      await reopen(root, { durability: 'none' }, (database) => {
        for (let from = 0; from < 400; from += 100) {
          database.update((tx) => {
            for (let at = from; at < from + 100; at++) {
              tx.images.create({ name: `image${at}`, target: target('a'), labels });
            }
          });
        }
        database.update((tx) => {
          for (let at = 100; at < 400; at++) {
            tx.images.delete(`image${at}`);
          }
        });
      });
      const file = path.join(root, 'metadata', 'data.mdb');
      const whole = readFileSync(file);
      const cut = (size: number) => writeFileSync(file, whole.subarray(0, size));
      const counts = new Map<unknown, number>();
      for (let size = whole.length; size >= 8192; size -= 4096 * 17) {
        cut(size);
        for (const readOnly of [true, false]) {
          let outcome: unknown;
          try {
            outcome = await reopen(root, { readOnly, durability: 'none' }, (database) =>
              database.view((tx) => tx.images.list().length),
            );
          } catch (error) {
            outcome = (error as UnpackError).code;
          }
          counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
        }
      }
      expect([...counts.keys()].sort()).toEqual([100, 'ERR_STORE_CORRUPT']);
    }));

  it('refuses a newer version and changes nothing', () =>
    withScratch(async (root) => {
      const newer = { version: schemaVersion + 1, migrations: [] };
      await reopen(root, { schema: newer }, () => {});
      for (const readOnly of [true, false]) {
        expect(() => Database.open(root, { readOnly })).toThrow(
          expect.objectContaining({ code: 'ERR_STORE_VERSION' }),
        );
      }
      await reopen(root, { schema: newer }, () => {});
    }));

  it('migrates an older version, step by step, in one transaction', () =>
    withScratch(async (root) => {
      await reopen(root, {}, (database) =>
        database.update((tx) => tx.images.create({ name: 'a', target: target('a') })),
      );
      const log: string[] = [];
      const step = (from: number, fails = false) => ({
        from,
        run: (store: {
          put(key: string, value: unknown): void;
          entries(b: 'images'): unknown[];
        }) => {
          log.push(`${from}: ${store.entries('images').length}`);
          store.put(`m\tstep${from}`, from);
          if (fails) {
            throw new Error('the migration failed');
          }
        },
      });
      const version = schemaVersion + 2;
      const steps = (fails: boolean) => [step(schemaVersion), step(schemaVersion + 1, fails)];
      expect(() =>
        Database.open(root, { readOnly: true, schema: { version, migrations: steps(false) } }),
      ).toThrow(expect.objectContaining({ code: 'ERR_STORE_VERSION' }));
      expect(() => Database.open(root, { schema: { version, migrations: steps(true) } })).toThrow(
        'the migration failed',
      );
      await reopen(root, {}, () => {}); // still of the old version
      expect(() => Database.open(root, { schema: { version, migrations: [] } })).toThrow(
        /no migration from version/,
      );
      await reopen(root, { schema: { version, migrations: steps(false) } }, (database) => {
        expect(database.view((tx) => tx.tree.get(`m\tstep${schemaVersion + 1}`))).toBe(
          schemaVersion + 1,
        );
      });
      expect(log.length).toBe(4);
      await reopen(root, { schema: { version, migrations: [] } }, () => {}); // nothing to do
    }));
});
