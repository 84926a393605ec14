// File trees as maps, the truth of the demo's image, and the differences between two trees.

import { createHash } from 'node:crypto';
import type { DemoEntry, DemoLayer } from './entry.js';

/** A file as it shall be, or as it is on disk. */
export interface TreeNode {
  type: 'file' | 'directory' | 'symlink' | 'other';
  mode: number;
  uid: number;
  gid: number;
  /** Nanoseconds. */
  mtime: bigint;
  /** sha256 of a file's content. */
  digest?: string;
  /** Target of a symlink. */
  target?: string;
  /** Names of one inode have the same key. */
  inode: string;
  /** Where they are known. */
  xattrs?: Record<string, Buffer>;
}

/** Nodes by path; the root is the empty path. */
export type Tree = Map<string, TreeNode>;

/**
 * The tree that the layers mean together, from the list that they were written from: layer by layer, first what its
 * whiteouts name goes, then its entries come.
 *
 * @param digests sha256 of every regular file, by layer number and path.
 */
export function truthOf(layers: readonly DemoLayer[], digests: Map<string, string>): Tree {
  const tree: Tree = new Map();
  layers.forEach(({ entries }, layer) => {
    for (const entry of entries) {
      if (entry.type === 'whiteout') {
        removeBelow(tree, entry.path);
        tree.delete(entry.path);
      } else if (entry.type === 'opaque') {
        removeBelow(tree, entry.path);
      }
    }
    for (const entry of entries) {
      if (entry.type !== 'whiteout' && entry.type !== 'opaque') {
        place(tree, entry, layer, digests);
      }
    }
  });
  return tree;
}

function place(tree: Tree, entry: DemoEntry, layer: number, digests: Map<string, string>): void {
  if (entry.type === 'hardlink') {
    const target = tree.get(entry.target ?? '');
    if (target === undefined) {
      throw new Error(`the demo's image links to ${entry.target}, which it does not have`);
    }
    tree.set(entry.path, target);
    return;
  }
  if (entry.type !== 'directory' && tree.get(entry.path)?.type === 'directory') {
    removeBelow(tree, entry.path);
  }
  const key = `${layer}:${entry.path}`;
  tree.set(entry.path, {
    type: entry.type as 'file' | 'directory' | 'symlink',
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtime: entry.mtime,
    inode: key,
    ...(entry.type === 'file' && { digest: digests.get(key) ?? '' }),
    ...(entry.target !== undefined && { target: entry.target }),
    ...(entry.xattrs && { xattrs: entry.xattrs }),
  });
}

/** Removes everything below `path`, not `path` itself. */
export function removeBelow(tree: Tree, path: string): void {
  const prefix = path === '' ? '' : `${path}/`;
  for (const name of tree.keys()) {
    if (name.startsWith(prefix) && name !== path) {
      tree.delete(name);
    }
  }
}

/** What the comparison leaves out. */
export interface Tolerance {
  /** Owners were not applied. */
  owners?: boolean;
  /** Times are as near as this, in nanoseconds. */
  time?: bigint;
  /** Extended attributes are not compared. */
  xattrs?: boolean;
  /** Times and modes of directories are not compared. */
  directories?: boolean;
  /** Times of symlinks are not compared. */
  symlinks?: boolean;
  /** Time and mode of the root are not compared. */
  root?: boolean;
}

/** One difference between two trees. */
export interface Difference {
  path: string;
  what: string;
}

/** Every difference of `actual` to `expected`, by path. */
export function compareTrees(expected: Tree, actual: Tree, tolerance: Tolerance): Difference[] {
  const differences: Difference[] = [];
  const expectedLinks = linkGroups(expected);
  const actualLinks = linkGroups(actual);
  for (const path of [...new Set([...expected.keys(), ...actual.keys()])].sort()) {
    const want = expected.get(path);
    const have = actual.get(path);
    if (want === undefined || have === undefined) {
      differences.push({ path, what: want === undefined ? 'should not be there' : 'is missing' });
      continue;
    }
    const faults = nodeFaults(want, have, {
      ...tolerance,
      directories: tolerance.directories || (tolerance.root && path === ''),
    });
    if (expectedLinks.get(path) !== actualLinks.get(path)) {
      faults.push('hardlinks');
    }
    if (faults.length > 0) {
      differences.push({ path, what: faults.join(', ') });
    }
  }
  return differences;
}

function nodeFaults(want: TreeNode, have: TreeNode, tolerance: Tolerance): string[] {
  const distance = want.mtime > have.mtime ? want.mtime - have.mtime : have.mtime - want.mtime;
  const free = tolerance.directories === true && want.type === 'directory';
  const freeTime = tolerance.symlinks === true && want.type === 'symlink';
  const checks: [string, boolean][] = [
    ['type', want.type === have.type],
    ['mode', free || want.mode === have.mode || want.type === 'symlink'],
    ['owner', tolerance.owners === true || (want.uid === have.uid && want.gid === have.gid)],
    ['mtime', free || freeTime || distance <= (tolerance.time ?? 0n)],
    ['content', want.digest === have.digest],
    ['target', want.target === have.target],
    ['xattrs', tolerance.xattrs === true || sameXattrs(want.xattrs, have.xattrs)],
  ];
  return checks.filter(([, holds]) => !holds).map(([name]) => name);
}

function sameXattrs(want: TreeNode['xattrs'] = {}, have: TreeNode['xattrs'] = {}): boolean {
  const text = (xattrs: Record<string, Buffer>) =>
    Object.entries(xattrs)
      .map(([name, value]) => `${name}=${value.toString('hex')}`)
      .sort()
      .join();
  return text(want) === text(have);
}

/** For each non-directory with several names: all its names. */
function linkGroups(tree: Tree): Map<string, string> {
  const names = new Map<string, string[]>();
  for (const [path, node] of tree) {
    if (node.type !== 'directory') {
      const group = names.get(node.inode);
      if (group === undefined) {
        names.set(node.inode, [path]);
      } else {
        group.push(path);
      }
    }
  }
  const groups = new Map<string, string>();
  for (const group of names.values()) {
    if (group.length > 1) {
      const text = group.sort().join('\0');
      for (const path of group) {
        groups.set(path, text);
      }
    }
  }
  return groups;
}

/** sha256 in hex. */
export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
