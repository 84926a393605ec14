// Layers that the engine has written become committed snapshots: of every kind, from all layers at once.

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { SnapshotStore } from '../../src/metadata/snapshots.js';
import { type LayerTree, loadBinding } from '../../src/native/index.js';
import { type SnapshotterKind, type Staging, snapshotterKinds } from '../../src/snapshots/index.js';
import { resolveOptions } from '../../src/unpack/options.js';
import { isRoot, manyIDs } from '../support/ids.js';
import { modelTree } from '../support/image.js';
import { withScratch } from '../support/scratch.js';
import {
  commitChanges,
  dumpSnapshot,
  type TestStore,
  withMounts,
  withStore,
  withStoreAt,
} from '../support/snapshots.js';
import {
  dir,
  file,
  hardlink,
  opaque,
  symlink,
  type TarItem,
  tar,
  whiteout,
} from '../support/tar-builder.js';
import { compareTrees } from '../support/tree.js';

const layers: TarItem[][] = [
  [
    dir('./', { mode: 0o711 }),
    dir('etc', { mode: 0o750 }),
    file('etc/hosts', 'localhost\n', manyIDs ? { uid: 3, gid: 4 } : {}),
    file('etc/old', 'old'),
    dir('usr'),
    dir('usr/lib'),
    symlink('lib', 'usr/lib'),
    file('usr/lib/a', 'a'),
    hardlink('usr/lib/b', 'usr/lib/a'),
  ],
  [
    whiteout('etc/old'),
    file('lib/c', 'through the symlink'),
    file('etc/new', 'new', { mode: 0o4755 }),
  ],
  [opaque('usr/lib'), file('usr/lib/d', 'd'), hardlink('hosts', 'etc/hosts')],
];

/** Unpacks all layers at once, settles and adopts them in order. @returns the names of the snapshots */
async function adoptLayers({ snapshotter, work }: TestStore, prefix = 'layer'): Promise<string[]> {
  const binding = loadBinding();
  const options = resolveOptions({ format: snapshotter.format });
  const group = binding.createGroup(0);
  const running = await Promise.all(
    layers.map(async (items, index) => {
      const blob = path.join(work, `${index}.tar`);
      await writeFile(blob, tar(items));
      const staging = await snapshotter.stage();
      const own = path.join(staging.directory, 'layer');
      if (snapshotter.flat) {
        await mkdir(own);
      }
      const job = binding.startLayer({
        format: options.format,
        policies: options.policies,
        limits: options.limits,
        source: { path: blob },
        directory: snapshotter.flat ? own : staging.fs,
        hasLower: index > 0,
        label: String(index),
        group,
      });
      job.done.catch(() => {});
      return { job, staging, own };
    }),
  );
  const names: string[] = [];
  let below: LayerTree | null = null;
  for (const [index, { job, staging, own }] of running.entries()) {
    await job.done;
    const parent = names.at(-1);
    if (snapshotter.flat && parent !== undefined) {
      await snapshotter.seed(staging, parent);
    }
    const { treeIndex: indexPath } = staging;
    const flatRoot = snapshotter.flat ? staging.fs : undefined;
    below = (await job.settle(below, { indexPath, flatRoot })).tree;
    await rm(own, { recursive: true, force: true });
    const name = `${prefix}-${index}`;
    const info = await snapshotter.adopt(name, parent, staging, { labels: { index: `${index}` } });
    expect(info).toMatchObject({ name, kind: 'committed', parent, labels: { index: `${index}` } });
    names.push(name);
    if (!snapshotter.flat) {
      binding.moveTree(below, (await snapshotter.layer(name)).fs);
    }
  }
  return names;
}

async function makeStaged({ snapshotter }: TestStore, content = 'x'): Promise<Staging> {
  const staging = await snapshotter.stage();
  await writeFile(path.join(staging.fs, 'f'), content);
  return staging;
}

async function ids({ snapshotter }: TestStore): Promise<string[]> {
  const directories: string[] = [];
  await snapshotter.walk((info) => void directories.push(path.basename(info.directory)));
  return directories.sort();
}

describe.runIf(isRoot).each([...snapshotterKinds])('%s', (kind: SnapshotterKind) => {
  test('an image of layers unpacked at once is what a sequential apply gives', async () => {
    await withStore(kind, async (store) => {
      const { snapshotter } = store;
      const names = await adoptLayers(store);
      const expected = modelTree(layers, { format: snapshotter.format });
      expect(compareTrees(expected, await dumpSnapshot(store, names.at(-1) as string))).toEqual([]);
      const { fs, treeIndex } = await snapshotter.layer(names[1] as string);
      expect(treeIndex).toBe(path.join(path.dirname(fs), 'tree.idx'));
      expect((await readdir(path.dirname(fs))).sort()).toEqual(['fs', 'tree.idx']);
      // The indexes are good for the next layer, and an active snapshot shows the same.
      expect(loadBinding().loadTree(treeIndex, fs, null)).toBeDefined();
      const mounts = await snapshotter.prepare('container', names.at(-1));
      if (mounts[0]?.type !== 'aufs') {
        await withMounts(mounts, store.work, async ({ dump }) => {
          expect(compareTrees(expected, await dump())).toEqual([]);
        });
      }
    });
  });

  test('a staged layer is adopted once, under a name that is free, on a committed parent', async () => {
    await withStore(kind, async (store) => {
      const { snapshotter } = store;
      const base = await commitChanges(store, '', []);
      await snapshotter.prepare('active', base);
      const staging = await makeStaged(store);
      const refusals: [name: string, parent: string | undefined, code: string][] = [
        [base, undefined, 'ERR_STORE_EXISTS'],
        ['active', undefined, 'ERR_STORE_EXISTS'],
        ['x', 'active', 'ERR_STORE_IN_USE'],
        ['x', 'none', 'ERR_STORE_NOT_FOUND'],
        ['', undefined, 'ERR_INVALID_ARGUMENT'],
      ];
      for (const [name, parent, code] of refusals) {
        await expect(snapshotter.adopt(name, parent, staging)).rejects.toMatchObject({ code });
      }
      const usage = { size: 1234, inodes: 5 };
      const info = await snapshotter.adopt('x', base, staging, { usage });
      expect(info).toMatchObject({ usage, durability: 'unsynced', parent: base });
      expect(await readFile(path.join(info.directory, 'fs/f'), 'utf8')).toBe('x');
      await expect(snapshotter.adopt('y', base, staging)).rejects.toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
      });
      await staging.discard(); // nothing any more
      expect(await readFile(path.join(info.directory, 'fs/f'), 'utf8')).toBe('x');

      const other = await makeStaged(store);
      await other.discard();
      await other.discard();
      await expect(readdir(other.directory)).rejects.toMatchObject({ code: 'ENOENT' });
      const measured = await snapshotter.adopt('z', undefined, await makeStaged(store));
      expect(measured.usage?.inodes).toBe(2);
      expect(await snapshotter.usage('z')).toEqual(measured.usage);
    });
  });
});

test('a layer looks at the one below it, not at all of them; what is removed meanwhile is noticed', async () => {
  await withStore('overlayfs', async (store) => {
    const { snapshotter } = store;
    const reads = vi.spyOn(SnapshotStore.prototype, 'get');
    const counts: number[] = [];
    for (let layer = 0; layer < 40; layer++) {
      reads.mockClear();
      const parent = layer === 0 ? undefined : String(layer - 1);
      await snapshotter.adopt(String(layer), parent, await makeStaged(store));
      await snapshotter.layer(String(layer));
      counts.push(reads.mock.calls.length);
    }
    reads.mockRestore();
    expect(counts.at(-1)).toBe(counts[2]);

    await snapshotter.remove('39');
    const staging = await makeStaged(store);
    const gone = { code: 'ERR_STORE_NOT_FOUND' };
    await expect(snapshotter.adopt('40', '39', staging)).rejects.toMatchObject(gone);
    await expect(snapshotter.layer('39')).rejects.toMatchObject(gone);
    await snapshotter.prepare('39', '38');
    const active = { code: 'ERR_STORE_IN_USE' };
    await expect(snapshotter.adopt('40', '39', staging)).rejects.toMatchObject(active);
  });
});

test('what is unsynced is durable after a sync', async () => {
  await withStore('overlayfs', async (store) => {
    const { snapshotter } = store;
    expect(await snapshotter.unsynced()).toEqual([]);
    const base = await commitChanges(store, '', []);
    await snapshotter.adopt('x', base, await makeStaged(store));
    await snapshotter.adopt('y', base, await makeStaged(store), { durability: 'durable' });
    await snapshotter.prepare('active', base);
    expect((await snapshotter.unsynced()).map(({ name }) => name).sort()).toEqual([base, 'x']);
    expect((await snapshotter.stat('y')).durability).toBe('durable');
    await Promise.all([snapshotter.sync(), snapshotter.sync(), snapshotter.sync()]);
    expect(await snapshotter.unsynced()).toEqual([]);
    expect((await snapshotter.stat('x')).durability).toBe('durable');
    await snapshotter.commit('z', 'active');
    const [z] = await snapshotter.unsynced();
    expect(z?.name).toBe('z');
    await snapshotter.remove('z');
    await snapshotter.markDurable([z as NonNullable<typeof z>]);
    await snapshotter.adopt('z', base, await makeStaged(store));
    await snapshotter.markDurable([z as NonNullable<typeof z>]); // not this one: another id
    expect((await snapshotter.stat('z')).durability).toBe('unsynced');
    await snapshotter.sync();
    expect((await snapshotter.stat('z')).durability).toBe('durable');
  });
});

test.each([...snapshotterKinds])(
  '%s: what an earlier boot has not synced is not served',
  async (kind) => {
    await withScratch(async (scratch) => {
      const root = path.join(scratch, 'root');
      await withStoreAt(
        root,
        kind,
        scratch,
        async (store) => {
          const { snapshotter } = store;
          await snapshotter.adopt('base', undefined, await makeStaged(store, 'lost'));
          await snapshotter.adopt('top', 'base', await makeStaged(store, 'kept'));
          await snapshotter.markDurable(
            (await snapshotter.unsynced()).filter(({ name }) => name === 'top'),
          );
          await snapshotter.prepare('container', 'top');
        },
        { bootID: () => 'one' },
      );
      await withStoreAt(
        root,
        kind,
        scratch,
        async (store) => {
          const { snapshotter } = store;
          const lost = { code: 'ERR_SNAPSHOT_LOST' };
          expect((await snapshotter.stat('base')).durability).toBe('lost');
          expect((await snapshotter.stat('top')).durability).toBe('durable');
          expect(await snapshotter.unsynced()).toEqual([]);
          for (const name of ['base', 'top']) {
            await expect(snapshotter.prepare('x', name)).rejects.toMatchObject(lost);
            await expect(snapshotter.view('x', name)).rejects.toMatchObject(lost);
            await expect(snapshotter.layer(name)).rejects.toMatchObject(lost);
            await expect(
              snapshotter.adopt('x', name, await snapshotter.stage()),
            ).rejects.toMatchObject(lost);
          }
          await expect(snapshotter.mounts('container')).rejects.toMatchObject(lost);
          // A sync of this boot does not make it good.
          await snapshotter.sync();
          expect((await snapshotter.stat('base')).durability).toBe('lost');

          const before = (await snapshotter.stat('base')).directory;
          await expect(
            snapshotter.adopt('base', 'top', await snapshotter.stage()),
          ).rejects.toMatchObject(lost);
          const again = await snapshotter.adopt(
            'base',
            undefined,
            await makeStaged(store, 'again'),
            {
              labels: { made: 'again' },
            },
          );
          expect(again).toMatchObject({ durability: 'unsynced', labels: { made: 'again' } });
          expect(again.directory).not.toBe(before);
          await expect(readdir(before)).rejects.toMatchObject({ code: 'ENOENT' });
          expect(await readFile(path.join((await snapshotter.layer('base')).fs, 'f'), 'utf8')).toBe(
            'again',
          );
          if (snapshotter.flat) {
            // A copy of what was lost, which was not synced either.
            await expect(snapshotter.mounts('container')).rejects.toMatchObject(lost);
            await snapshotter.remove('container');
          } else {
            expect(await snapshotter.mounts('container')).toHaveLength(1);
          }
          await expect(snapshotter.remove('base')).rejects.toMatchObject({
            code: 'ERR_STORE_IN_USE',
          });
          await expect(
            snapshotter.adopt('base', undefined, await snapshotter.stage()),
          ).rejects.toMatchObject({ code: 'ERR_STORE_EXISTS' });
        },
        { bootID: () => 'two' },
      );
    });
  },
);

test('cleanup takes what has no record, and only that', async () => {
  await withStore('overlayfs', async (store) => {
    const { snapshotter, root } = store;
    await commitChanges(store, '', []);
    const staging = await makeStaged(store);
    const directories = path.join(root, 'snapshots');
    await mkdir(path.join(directories, '77/fs/d'), { recursive: true });
    await writeFile(path.join(directories, 'stray'), '');
    await mkdir(path.join(root, 'staging/dead/1/fs'), { recursive: true });
    expect(await snapshotter.cleanup()).toEqual({ orphans: 2, sessions: 1, failures: [] });
    expect((await readdir(directories)).sort()).toEqual(await ids(store));
    expect(await readdir(path.join(root, 'staging'))).toHaveLength(1);
    expect(await readFile(path.join(staging.fs, 'f'), 'utf8')).toBe('x');
    expect(await snapshotter.cleanup()).toEqual({ orphans: 0, sessions: 0, failures: [] });
  });
});

test('a directory that lies where the next id goes is in nobody’s way', async () => {
  await withStore('overlayfs', async (store) => {
    const { snapshotter, root } = store;
    await mkdir(path.join(root, 'snapshots/1/fs/left'), { recursive: true });
    await snapshotter.prepare('a', '');
    const { directory } = await snapshotter.stat('a');
    expect(path.basename(directory)).toBe('1');
    expect(await readdir(path.join(directory, 'fs'))).toEqual([]);
  });
});

test('who only reads leaves no trace; a closed one is refused', async () => {
  await withStore('overlayfs', async ({ snapshotter, root }) => {
    await snapshotter.walk(() => {});
    await expect(snapshotter.stat('x')).rejects.toMatchObject({ code: 'ERR_STORE_NOT_FOUND' });
    expect(await readdir(root)).toEqual(['metadata']);
    await snapshotter.close();
    await expect(snapshotter.prepare('a', '')).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });
});
