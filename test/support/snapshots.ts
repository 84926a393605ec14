// Stores with one snapshotter, and snapshots as a user of them sees them: mounted by the kernel where it can.

import { chmod, mkdir, mkdtemp, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { Database } from '../../src/metadata/index.js';
import {
  type LayerSnapshotter,
  type Mount,
  mountAll,
  openSnapshotter,
  type SnapshotterKind,
  unmountAll,
} from '../../src/snapshots/index.js';
import { branchesOf, dumpUnion, withUnion } from './aufs-union.js';
import { apply, type Change } from './changes.js';
import { withScratch } from './scratch.js';
import { type CompareOptions, compareTrees, type Tree } from './tree.js';
import { dumpTree } from './tree-dump.js';

export interface TestStore {
  snapshotter: LayerSnapshotter;
  database: Database;
  root: string;
  /** Scratch for the test. */
  work: string;
}

export interface TestStoreOptions {
  bootID?: () => string;
  userxattr?: boolean;
}

/** Runs `work` with an empty store. */
export function withStore<T>(
  kind: SnapshotterKind,
  work: (store: TestStore) => Promise<T>,
  options: TestStoreOptions = {},
): Promise<T> {
  return withScratch(async (scratch) => {
    const directory = path.join(scratch, 'work');
    await mkdir(directory);
    return withStoreAt(path.join(scratch, 'root'), kind, directory, work, options);
  });
}

export async function withStoreAt<T>(
  root: string,
  kind: SnapshotterKind,
  directory: string,
  work: (store: TestStore) => Promise<T>,
  options: TestStoreOptions = {},
): Promise<T> {
  const database = Database.open(root);
  const snapshotter = openSnapshotter({ root, database, kind, ...options });
  try {
    return await work({ snapshotter, database, root, work: directory });
  } finally {
    await snapshotter.close();
    await database.close();
  }
}

export interface Mounted {
  directory: string;
  dump(): Promise<Tree>;
}

/** Mounts, runs `work` with the directory, unmounts. */
export async function withMounts<T>(
  mounts: readonly Mount[],
  scratch: string,
  work: (mounted: Mounted) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(path.join(scratch, 'mount-'));
  try {
    const [first] = mounts;
    if (first?.type === 'aufs' && mounts.length === 1) {
      const branches = branchesOf(first.options);
      return await withUnion(branches, directory, () =>
        work({
          directory,
          // While it is written to, the union is all that there is; else the branches tell.
          dump: () => (branches.upper === undefined ? dumpUnion(branches) : dumpTree(directory)),
        }),
      );
    }
    await mountAll(mounts, directory);
    try {
      return await work({ directory, dump: () => dumpHere(directory) });
    } finally {
      await unmountAll(directory);
    }
  } finally {
    await rmdir(directory);
  }
}

/** As {@link dumpTree}, which runs in a mount namespace of its own, in that of this process. */
export function dumpHere(directory: string): Promise<Tree> {
  return dumpTree(`/proc/${process.pid}/root${directory}`);
}

let count = 0;

/** Makes a committed snapshot of the changes on top of `parent`. */
export async function commitChanges(
  { snapshotter, work }: TestStore,
  parent: string | undefined,
  changes: readonly Change[],
): Promise<string> {
  count++;
  const [name, key] = [`layer-${count}`, `layer-${count}-active`];
  const mounts = await snapshotter.prepare(key, parent);
  await withMounts(mounts, work, ({ directory }) => apply(directory, changes));
  await snapshotter.commit(name, key);
  return name;
}

/** What a view of a committed snapshot shows. */
export async function dumpSnapshot({ snapshotter, work }: TestStore, name: string): Promise<Tree> {
  count++;
  const key = `view-${count}`;
  const mounts = await snapshotter.view(key, name);
  try {
    const [first] = mounts;
    // Its branches tell all: no union of them need be made.
    return first?.type === 'aufs'
      ? await dumpUnion(branchesOf(first.options))
      : await withMounts(mounts, work, ({ dump }) => dump());
  } finally {
    await snapshotter.remove(key);
  }
}

/** The changes were made at another time; overlayfs gives a file of a lower layer another inode than its links there. */
const sameTree: CompareOptions = { ignore: ['mtime'] };

/**
 * Makes a chain of committed snapshots and, with the same changes, a plain directory; after each they must be equal.
 *
 * @returns the differences, in words
 */
export async function compareChain(
  store: TestStore,
  layers: readonly (readonly Change[])[],
  options: CompareOptions = sameTree,
): Promise<string[]> {
  const flat = await mkdtemp(path.join(store.work, 'flat-'));
  await chmod(flat, 0o755);
  const differences: string[] = [];
  let parent: string | undefined;
  for (const [index, changes] of layers.entries()) {
    parent = await commitChanges(store, parent, changes);
    await apply(flat, changes);
    const expected = await dumpTree(flat);
    const actual = await dumpSnapshot(store, parent);
    for (const difference of compareTrees(expected, actual, options)) {
      differences.push(`layer ${index}: ${difference}`);
    }
  }
  return differences;
}
