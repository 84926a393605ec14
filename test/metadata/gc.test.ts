import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Database, gc, type Transaction, why } from '../../src/metadata/index.js';
import { withScratch } from '../support/scratch.js';

const digest = (character: string) => `sha256:${character.repeat(64)}`;
const a = digest('a');
const b = digest('b');
const c = digest('c');
const d = digest('d');

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

function blob(tx: Transaction, name: string, labels: Record<string, string> = {}) {
  tx.content.create({ digest: name, size: 10, labels });
}

/** A committed snapshot. */
function snapshot(
  tx: Transaction,
  key: string,
  parent?: string,
  labels: Record<string, string> = {},
  snapshotter = 'overlayfs',
) {
  const store = tx.snapshots(snapshotter);
  store.create({ key: `active-${key}`, kind: 'active', parent, labels });
  store.commit(`active-${key}`, key, { usage: { size: 5, inodes: 2 }, durability: 'durable' });
}

/** An image `name` of manifest a, config b, layer c, with two snapshots. */
function image(tx: Transaction, name: string) {
  tx.images.create({ name, target: { mediaType: 'a/b', digest: a, size: 10 } });
  blob(tx, a, {
    'containerd.io/gc.ref.content.config': b,
    'containerd.io/gc.ref.content.l.0': c,
  });
  blob(tx, b, { 'containerd.io/gc.ref.snapshot.overlayfs': 'two' });
  blob(tx, c);
  snapshot(tx, 'one');
  snapshot(tx, 'two', 'one');
}

const left = (database: Database) =>
  database.view((tx) => ({
    content: tx.content.digests(),
    snapshots: tx.snapshotters().flatMap((snapshotter) => tx.snapshots(snapshotter).keys()),
  }));

describe('gc', () => {
  it('keeps all of an image, and takes it when the image is gone', () =>
    withDatabase((database) => {
      database.update((tx) => {
        image(tx, 'i');
        blob(tx, d);
        snapshot(tx, 'lone');
        tx.snapshots('overlayfs').create({ key: 'on top', kind: 'active', parent: 'two' });
      });
      const would = gc(database, { dryRun: true });
      expect(would).toMatchObject({
        content: [{ digest: d, size: 10 }],
        snapshots: [
          { snapshotter: 'overlayfs', key: 'on top', size: 0 },
          { snapshotter: 'overlayfs', key: 'lone', size: 5, inodes: 2 },
        ],
        leases: [],
      });
      expect(left(database).content.length).toBe(4);
      expect(gc(database)).toEqual(would);
      expect(left(database)).toEqual({ content: [a, b, c], snapshots: ['one', 'two'] });
      expect(database.view((tx) => tx.snapshots('overlayfs').hasChildren('two'))).toBe(false);
      expect(database.view((tx) => tx.snapshots('overlayfs').children('one'))).toEqual(['two']);
      database.update((tx) => tx.images.delete('i'));
      expect(gc(database).snapshots.map(({ key }) => key)).toEqual(['two', 'one']);
      expect(left(database)).toEqual({ content: [], snapshots: [] });
      expect(gc(database)).toEqual({ content: [], snapshots: [], leases: [] });
      database.update((tx) => snapshot(tx, 'one')); // the keys are free again, ids go on
      expect(database.view((tx) => tx.snapshots('overlayfs').get('one').id)).toBe(5);
    }));

  it('takes children before parents, also where a parent was made again', () =>
    withDatabase((database) => {
      const files = { usage: { size: 1, inodes: 1 }, durability: 'durable' } as const;
      database.update((tx) => {
        for (const [n, key] of ['c', 'a', 'd', 'b'].entries()) {
          snapshot(tx, key, [undefined, 'c', 'a', 'd'][n], { 'containerd.io/gc.ref.content.x': a });
        }
        snapshot(tx, 'fork', 'a');
        tx.snapshots('overlayfs').replace('a', files);
        tx.snapshots('overlayfs').replace('c', files);
      });
      const chain = ['b', 'd', 'a', 'c'];
      const keys = gc(database, { dryRun: true }).snapshots.map(({ key }) => key);
      expect(keys.filter((key) => key !== 'fork')).toEqual(chain);
      expect(keys.indexOf('fork')).toBeLessThan(keys.indexOf('a'));
      const only = chain.map((id) => ({ type: 'snapshots/overlayfs', id }));
      expect(gc(database, { only }).snapshots.map(({ key }) => key)).toEqual(['b', 'd']);
      expect(left(database).snapshots).toEqual(['a', 'c', 'fork']);
      expect(gc(database).snapshots.map(({ key }) => key)).toEqual(['fork', 'a', 'c']);
    }));

  it('keeps what containers, leases and gc.root hold, in every namespace', () =>
    withDatabase((database) => {
      database.update((tx) => {
        snapshot(tx, 'base');
        tx.snapshots('overlayfs').create({ key: 'rw', kind: 'active', parent: 'base' });
        tx.in('other').containers.create({ id: 'c', snapshotter: 'overlayfs', snapshotKey: 'rw' });
        snapshot(tx, 'rw', undefined, {}, 'native');
        snapshot(tx, 'rooted', undefined, { 'containerd.io/gc.root': '' }, 'native');
        blob(tx, a, { 'containerd.io/gc.root': 'x', 'containerd.io/gc.ref.content/x': b });
        blob(tx, b);
        blob(tx, c, { 'containerd.io/gc.ref.content': d });
        blob(tx, d, { 'containerd.io/gc.ref.contents': a, 'containerd.io/gc.rooted': '' });
        tx.in('third').leases.create({ id: 'l', resources: [{ type: 'content', id: c }] });
      });
      expect(gc(database)).toMatchObject({
        content: [],
        snapshots: [{ snapshotter: 'native', key: 'rw' }],
      });
      database.update((tx) => tx.in('third').leases.delete('l'));
      expect(gc(database).content.map((gone) => gone.digest)).toEqual([c, d]);
    }));

  it('goes by the time of leases, and removes those that have expired', () =>
    withDatabase((database) => {
      const resources = [{ type: 'content', id: a }];
      database.update((tx) => {
        blob(tx, a);
        tx.leases.create({ id: 'l', expiresAt: tx.now + 3_600_000, resources });
      });
      expect(gc(database).content).toEqual([]);
      database.update((tx) => tx.leases.update('l', { expiresAt: tx.now - 1 }));
      expect(database.view((tx) => tx.leases.list())).toEqual([]);
      const garbage = gc(database);
      expect(garbage.content.length).toBe(1);
      expect(garbage.leases).toEqual([{ namespace: 'default', id: 'l' }]);
      database.update((tx) => {
        expect(tx.leases.listExpired()).toEqual([]);
        tx.leases.create({ id: 'l' });
        expect(tx.leases.resources('l')).toEqual([]);
      });
    }));

  it('follows references of ordinary leases and not of flat ones, but for parents', () =>
    withDatabase((database) => {
      const resources = [
        { type: 'content', id: a },
        { type: 'snapshots/overlayfs', id: 'two' },
      ];
      for (const labels of [{}, { 'containerd.io/gc.flat': '' }] as Record<string, string>[]) {
        database.update((tx) => {
          blob(tx, a, { 'containerd.io/gc.ref.content.l.0': b });
          blob(tx, b);
          snapshot(tx, 'one');
          snapshot(tx, 'two', 'one', { 'containerd.io/gc.ref.content.x': b });
          tx.leases.create({ id: 'l', labels, resources });
        });
        const flat = Object.keys(labels).length > 0;
        expect(gc(database)).toMatchObject({
          content: flat ? [{ digest: b }] : [],
          snapshots: [],
        });
        expect(why(database, { type: 'content', id: b }).length).toBe(flat ? 0 : 1);
        expect(why(database, { type: 'snapshots/overlayfs', id: 'one' }).length).toBe(1);
        database.update((tx) => tx.leases.delete('l'));
        gc(database);
        expect(left(database)).toEqual({ content: [], snapshots: [] });
      }
    }));

  it('lives with cycles and with references to nothing', () =>
    withDatabase((database) => {
      database.update((tx) => {
        blob(tx, a, { 'containerd.io/gc.ref.content.x': b, 'containerd.io/gc.ref.content.y': a });
        blob(tx, b, {
          'containerd.io/gc.ref.content.x': a,
          'containerd.io/gc.ref.content.y': digest('e'),
          'containerd.io/gc.ref.snapshot.none': 'x',
          'containerd.io/gc.ref.content.z': '',
        });
        tx.leases.create({ id: 'l', resources: [{ type: 'content', id: b }] });
      });
      expect(gc(database).content).toEqual([]);
      expect(why(database, { type: 'content', id: a }).length).toBe(1);
      database.update((tx) => tx.leases.delete('l'));
      expect(gc(database).content.length).toBe(2);
    }));

  it('keeps exactly what can be reached, in random graphs', () =>
    withDatabase((database) => {
      const digests = Array.from({ length: 8 }, (_, n) => digest(String(n)));
      const edges = fc.array(fc.tuple(fc.nat(7), fc.nat(7)), { maxLength: 14 });
      fc.assert(
        fc.property(edges, fc.subarray([0, 1, 2, 3]), (references, roots) => {
          database.update((tx) => {
            for (const name of digests) {
              blob(tx, name);
            }
            for (const [n, [from, to]] of references.entries()) {
              const labels = { [`containerd.io/gc.ref.content.${n}`]: digests[to] as string };
              tx.content.update(digests[from] as string, { labels });
            }
            for (const root of roots) {
              const target = { mediaType: 'a/b', digest: digests[root] as string, size: 1 };
              tx.images.create({ name: `i${root}`, target });
            }
          });
          const reached = new Set<number>(roots);
          for (let grown = -1; grown !== reached.size; ) {
            grown = reached.size;
            for (const [from, to] of references) {
              if (reached.has(from)) {
                reached.add(to);
              }
            }
          }
          for (const [n, name] of digests.entries()) {
            const chains = why(database, { type: 'content', id: name });
            expect(chains.length > 0).toBe(reached.has(n));
            for (const chain of chains) {
              expect(chain[0]?.type).toBe('images');
              expect(chain.at(-1)?.id).toBe(name);
            }
          }
          gc(database);
          const kept = [...reached].sort().map((n) => digests[n]);
          expect(left(database).content).toEqual(kept);
          database.update((tx) => {
            for (const { name } of tx.images.list()) {
              tx.images.delete(name);
            }
            for (const name of tx.content.digests()) {
              tx.content.delete(name);
            }
          });
        }),
        { numRuns: 60 },
      );
    }));
});

describe('why', () => {
  it('tells each root and the way from it', () =>
    withDatabase((database) => {
      database.update((tx) => {
        image(tx, 'i');
        tx.in('other').images.create({
          name: 'j',
          target: { mediaType: 'a/b', digest: a, size: 10 },
        });
        const store = tx.snapshots('overlayfs');
        store.create({ key: 'rw', kind: 'active', parent: 'two' });
        tx.containers.create({ id: 'c', snapshotter: 'overlayfs', snapshotKey: 'rw' });
        store.update('two', { labels: { 'containerd.io/gc.root': 'now' } });
      });
      const chains = why(database, { type: 'snapshots/overlayfs', id: 'one' });
      const two = { type: 'snapshots/overlayfs', id: 'two' };
      const one = { type: 'snapshots/overlayfs', id: 'one' };
      expect(chains).toEqual([
        [two, one],
        [
          { type: 'containers', id: 'c', namespace: 'default' },
          { type: 'snapshots/overlayfs', id: 'rw' },
          two,
          one,
        ],
        ...['default', 'other'].map((namespace) => [
          { type: 'images', id: namespace === 'other' ? 'j' : 'i', namespace },
          { type: 'content', id: a },
          { type: 'content', id: b, label: 'containerd.io/gc.ref.content.config' },
          { ...two, label: 'containerd.io/gc.ref.snapshot.overlayfs' },
          one,
        ]),
      ]);
      expect(why(database, { type: 'content', id: d })).toEqual([]);
      expect(why(database, { type: 'images', id: 'i' })).toEqual([]);
    }));
});
