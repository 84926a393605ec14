import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Database, type Labels, type Transaction } from '../../src/metadata/index.js';
import { withScratch } from '../support/scratch.js';

const digest = (character: string) => `sha256:${character.repeat(64)}`;
const target = { mediaType: 'application/x', digest: digest('a'), size: 7 };
const code = (expected: string) => expect.objectContaining({ code: expected });

/** The code of what is thrown; quicker than expect().toThrow by the hundred. */
function codeOf(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
}

async function withDatabase<T>(work: (database: Database) => T | Promise<T>) {
  return withScratch(async (root) => {
    const database = Database.open(root, { durability: 'none' });
    try {
      return await work(database);
    } finally {
      await database.close();
    }
  });
}

const inUpdate = (work: (tx: Transaction) => void) => () =>
  withDatabase((database) => database.update(work));

describe('images', () => {
  it(
    'are created, changed, set and deleted',
    inUpdate((tx) => {
      const full = {
        ...target,
        annotations: { x: 'y' },
        platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
        urls: ['https://example.test/a'],
        artifactType: 'a/b',
      };
      const image = tx.images.create({ name: 'i', target: full, labels: { a: '1', b: '2' } });
      expect(tx.images.get('i')).toEqual(image);
      expect(() => tx.images.create({ name: 'i', target })).toThrow(code('ERR_STORE_EXISTS'));
      tx.images.update('i', { labels: { a: null, c: '3' } });
      expect(tx.images.get('i')).toMatchObject({ target: full, labels: { b: '2', c: '3' } });
      expect(tx.images.get('i').labels).not.toHaveProperty('a');
      tx.images.set({ name: 'i', target: { ...target, digest: digest('b') } });
      expect(tx.images.get('i')).toMatchObject({
        target: { digest: digest('b') },
        labels: { b: '2', c: '3' },
        createdAt: image.createdAt,
      });
      expect(tx.images.get('i').target).not.toHaveProperty('annotations');
      tx.images.set({ name: 'j', target });
      expect(tx.images.list().map(({ name }) => name)).toEqual(['i', 'j']);
      expect(tx.images.delete('i').name).toBe('i');
      expect(tx.images.find('i')).toBeUndefined();
      for (const act of [
        () => tx.images.get('i'),
        () => tx.images.delete('i'),
        () => tx.images.update('i', {}),
      ]) {
        expect(act).toThrow(code('ERR_STORE_NOT_FOUND'));
      }
    }),
  );

  it(
    'have names of any signs but control characters',
    inUpdate((tx) => {
      const names = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 });
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
      const refused = /[\u0000-\u001f\u007f]|\p{Surrogate}/u;
      fc.assert(
        fc.property(fc.uniqueArray(names, { maxLength: 8 }), (all) => {
          const good = all.filter((name) => !refused.test(name));
          for (const name of all.filter((one) => !good.includes(one))) {
            expect(codeOf(() => tx.images.create({ name, target }))).toBe('ERR_INVALID_ARGUMENT');
          }
          for (const name of good) {
            tx.images.create({ name, target });
          }
          const utf8 = (one: string) => Buffer.from(one).toString('hex');
          expect(tx.images.list().map(({ name }) => name)).toEqual(
            good.sort((a, b) => (utf8(a) < utf8(b) ? -1 : 1)),
          );
          for (const name of good) {
            expect(tx.images.delete(name).name).toBe(name);
          }
        }),
        { numRuns: 40 },
      );
      for (const name of ['', 'x'.repeat(769)]) {
        expect(() => tx.images.get(name)).toThrow(code('ERR_INVALID_ARGUMENT'));
      }
    }),
  );

  it(
    'refuse targets that are none',
    inUpdate((tx) => {
      for (const wrong of [
        { digest: 'sha256:x' },
        { digest: digest('A') },
        { size: -1 },
        { size: 1.5 },
        { mediaType: '' },
      ]) {
        expect(() => tx.images.create({ name: 'i', target: { ...target, ...wrong } })).toThrow(
          code('ERR_INVALID_ARGUMENT'),
        );
      }
    }),
  );
});

describe('labels', () => {
  it(
    'come back as they were given',
    inUpdate((tx) => {
      const text = fc.string({ unit: 'grapheme', maxLength: 60 });
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
      const name = text.filter((label) => label !== '' && !/[\u0000-\u001f\u007f]/.test(label));
      const known = fc.constantFrom(
        'containerd.io/gc.root',
        'containerd.io/gc.ref.content.l.31',
        '__proto__',
        'constructor',
      );
      fc.assert(
        fc.property(fc.dictionary(fc.oneof(name, known), text), (given) => {
          const labels = Object.fromEntries(Object.entries(given));
          tx.images.set({ name: 'i', target, labels });
          const stored = tx.images.get('i').labels;
          expect(Object.entries(stored).sort()).toEqual(Object.entries(labels).sort());
          expect(Object.getPrototypeOf(stored)).toBe(Object.prototype);
          tx.images.delete('i');
        }),
      );
    }),
  );

  it(
    'have bounds',
    inUpdate((tx) => {
      const create = (labels: Labels) =>
        tx.content.create({ digest: digest('a'), size: 1, labels });
      for (const labels of [
        { '': 'x' },
        { 'a\tb': 'x' },
        { a: 'x'.repeat(4096) },
        { a: '\ud800' },
        { a: 5 as unknown as string },
      ] as Labels[]) {
        expect(() => create(labels)).toThrow(code('ERR_INVALID_ARGUMENT'));
      }
      create({ a: 'x'.repeat(4095) });
    }),
  );
});

describe('containers', () => {
  it(
    'are created, changed and deleted, with any spec',
    inUpdate((tx) => {
      const spec = { process: { args: ['sh'], env: ['A=\u0000é'] }, list: [1, null, true] };
      const container = tx.containers.create({
        id: 'c-1',
        image: 'i',
        snapshotter: 'overlayfs',
        snapshotKey: 's',
        spec,
      });
      expect(tx.containers.get('c-1')).toEqual(container);
      expect(container.spec).toEqual(spec);
      tx.containers.update('c-1', { spec: { x: 1 }, labels: { a: 'b' } });
      expect(tx.containers.get('c-1')).toMatchObject({ spec: { x: 1 }, labels: { a: 'b' } });
      expect(tx.containers.create({ id: 'c2' })).toMatchObject({ image: '', spec: null });
      expect(() => tx.containers.create({ id: 'c2' })).toThrow(code('ERR_STORE_EXISTS'));
      expect(tx.containers.list().map(({ id }) => id)).toEqual(['c-1', 'c2']);
      tx.containers.delete('c2');
      expect(() => tx.containers.delete('c2')).toThrow(code('ERR_STORE_NOT_FOUND'));
      for (const id of ['../x', '', 'a b', '-a', 'a.', 'é', 'x'.repeat(129)]) {
        expect(() => tx.containers.create({ id })).toThrow(code('ERR_INVALID_ARGUMENT'));
      }
    }),
  );
});

describe('leases', () => {
  it(
    'hold resources, once each',
    inUpdate((tx) => {
      const content = { type: 'content', id: digest('a') };
      const snapshot = { type: 'snapshots/overlayfs', id: 'key with spaces' };
      const ingest = { type: 'ingests', id: 'layer-sha256:x' };
      tx.leases.create({ id: 'l', resources: [content, snapshot] });
      tx.leases.create({ id: 'l2' });
      tx.leases.addResource('l', content);
      tx.leases.addResource('l', ingest);
      expect(tx.leases.resources('l')).toEqual([content, ingest, snapshot]);
      expect(tx.leasedIngests()).toEqual(new Set([ingest.id]));
      tx.leases.removeResource('l', content);
      tx.leases.removeResource('l', content);
      expect(tx.leases.resources('l')).toEqual([ingest, snapshot]);
      expect(tx.leases.resources('l2')).toEqual([]);
      tx.leases.delete('l');
      tx.leases.create({ id: 'l' });
      expect(tx.leases.resources('l')).toEqual([]);
      for (const wrong of [
        { type: 'content', id: 'x' },
        { type: 'snapshots/', id: 'x' },
        { type: 'snapshots', id: 'x' },
        { type: 'images', id: 'x' },
      ]) {
        expect(() => tx.leases.addResource('l', wrong)).toThrow(code('ERR_INVALID_ARGUMENT'));
      }
      expect(() => tx.leases.addResource('none', content)).toThrow(code('ERR_STORE_NOT_FOUND'));
    }),
  );

  it(
    'are gone when they have expired, and their name is free',
    inUpdate((tx) => {
      const resources = [{ type: 'content', id: digest('a') }];
      tx.leases.create({ id: 'l', expiresAt: tx.now, resources: [] });
      expect(tx.leases.find('l')).toBeUndefined();
      expect(() => tx.leases.get('l')).toThrow(code('ERR_STORE_NOT_FOUND'));
      expect(tx.leases.list()).toEqual([]);
      expect(tx.leases.listExpired().map(({ id }) => id)).toEqual(['l']);
      tx.leases.create({ id: 'l', expiresAt: tx.now + 1000, resources });
      expect(tx.leases.update('l', { expiresAt: null, labels: { a: 'b' } })).toMatchObject({
        expiresAt: undefined,
        labels: { a: 'b' },
      });
      expect(tx.leases.resources('l')).toEqual(resources);
      tx.leases.update('l', { expiresAt: tx.now - 5 });
      expect(() => tx.leases.update('l', {})).toThrow(code('ERR_STORE_NOT_FOUND'));
      expect(tx.leases.delete('l').id).toBe('l');
    }),
  );
});

describe('content', () => {
  it(
    'is held by a lease from its beginning, or not made at all',
    inUpdate((tx) => {
      expect(() => tx.content.create({ digest: digest('a'), size: 1, lease: 'none' })).toThrow(
        code('ERR_STORE_NOT_FOUND'),
      );
      expect(tx.content.has(digest('a'))).toBe(false);
      tx.leases.create({ id: 'l' });
      tx.content.create({ digest: digest('a'), size: 1, lease: 'l' });
      expect(tx.leases.resources('l')).toEqual([{ type: 'content', id: digest('a') }]);
      expect(() => tx.content.create({ digest: digest('a'), size: 1 })).toThrow(
        code('ERR_STORE_EXISTS'),
      );
      expect(tx.content.update(digest('a'), { labels: { x: 'y' } }).labels).toEqual({ x: 'y' });
      expect(tx.content.delete(digest('a')).size).toBe(1);
      expect(() => tx.content.get(digest('a'))).toThrow(code('ERR_STORE_NOT_FOUND'));
    }),
  );
});

describe('namespaces', () => {
  it('come with the first write in them', () =>
    withDatabase((database) => {
      expect(database.view((tx) => tx.namespaces.list())).toEqual([]);
      database.view((tx) => tx.in('x').images.list());
      database.update((tx) => tx.in('other').images.create({ name: 'i', target }));
      expect(database.view((tx) => tx.namespaces.list().map(({ name }) => name))).toEqual([
        'default',
        'other',
      ]);
      expect(() => database.view((tx) => tx.in('a/b'))).toThrow(code('ERR_INVALID_ARGUMENT'));
    }));
});
