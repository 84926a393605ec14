// A directory tree as the tests compare it, whether read from disk (tree-dump.ts) or made by the model
// (model.ts), and the comparison.

import { createHash } from 'node:crypto';
import type { SparseExtent } from './layer-entry.js';

export interface TreeEntry {
  /** Without a leading slash, one code point per byte; '' is the root. */
  path: string;
  type: string;
  mode: number;
  uid: number;
  gid: number;
  /** Nanoseconds since the epoch. */
  mtime: bigint;
  /** Size and {@link contentHash} of a file. */
  size?: number;
  hash?: string;
  /** Target of a symlink. */
  target?: string;
  /** `major:minor` of a device. */
  rdev?: string;
  /** Values in hex. */
  xattrs: Record<string, string>;
  /** Names with the same inode are hard links of one another. */
  inode: string;
  /** Of the model: the layer that the name belongs to. */
  layer?: number;
  /** Of a dump: names of the inode. */
  links?: number;
  /** Of a dump: 512-byte blocks that are allocated. */
  blocks?: number;
}

export type Tree = Map<string, TreeEntry>;

const chunkSize = 1 << 20;

/** The hash that inspector.py makes of a file: plain sha256 up to 1 MiB, beyond that of the chunks that hold data. */
export function contentHash(size: number, extents: readonly SparseExtent[]): string {
  const hash = createHash('sha256');
  if (size <= chunkSize) {
    return hash.update(chunkOf(0, size, extents)).digest('hex');
  }
  const numbers = new Set<number>();
  for (const { offset, data } of extents) {
    for (let n = Math.floor(offset / chunkSize); n * chunkSize < offset + data.length; n++) {
      numbers.add(n);
    }
  }
  for (const n of [...numbers].sort((a, b) => a - b)) {
    const chunk = chunkOf(n * chunkSize, Math.min(chunkSize, size - n * chunkSize), extents);
    if (chunk.some((byte) => byte !== 0)) {
      const index = Buffer.alloc(8);
      index.writeBigUInt64LE(BigInt(n));
      hash.update(index).update(chunk);
    }
  }
  return hash.digest('hex');
}

function chunkOf(start: number, length: number, extents: readonly SparseExtent[]): Buffer {
  const chunk = Buffer.alloc(length);
  for (const { offset, data } of extents) {
    const from = Math.max(0, start - offset);
    const to = Math.min(data.length, start + length - offset);
    if (from < to) {
      data.copy(chunk, offset + from - start, from, to);
    }
  }
  return chunk;
}

export interface CompareOptions {
  /** Fields that are not compared. */
  ignore?: readonly ('mtime' | 'uid' | 'gid' | 'mode' | 'xattrs' | 'links' | 'content')[];
  /** Names of xattrs that are left out on both sides. */
  ignoreXattr?: (name: string) => boolean;
  /** Paths that are left out on both sides. */
  ignorePath?: (path: string) => boolean;
  /** At most so many differences are told. Default 50. */
  limit?: number;
}

/** Every difference in words; none when the trees are equal. */
export function compareTrees(expected: Tree, actual: Tree, options: CompareOptions = {}): string[] {
  const ignored = new Set<string>(options.ignore ?? []);
  const skip = options.ignorePath ?? (() => false);
  const differences: string[] = [];
  for (const [path, want] of expected) {
    if (skip(path)) {
      continue;
    }
    const got = actual.get(path);
    if (got === undefined) {
      differences.push(`${shown(path)}: missing (expected ${brief(want)})`);
    } else {
      differences.push(...compareEntries(want, got, ignored, options.ignoreXattr));
    }
  }
  for (const [path, got] of actual) {
    if (!skip(path) && !expected.has(path)) {
      differences.push(`${shown(path)}: should not be there (${brief(got)})`);
    }
  }
  if (!ignored.has('links')) {
    differences.push(...compareLinks(expected, actual, skip));
  }
  const limit = options.limit ?? 50;
  return differences.length > limit
    ? [...differences.slice(0, limit), `... and ${differences.length - limit} more`]
    : differences;
}

function compareEntries(
  want: TreeEntry,
  got: TreeEntry,
  ignored: Set<string>,
  ignoreXattr: (name: string) => boolean = () => false,
): string[] {
  const differences: string[] = [];
  const check = (name: string, expected: unknown, actual: unknown): void => {
    if (expected !== actual) {
      differences.push(`${shown(want.path)}: ${name} is ${actual}, expected ${expected}`);
    }
  };
  check('type', want.type, got.type);
  if (want.type !== got.type) {
    return differences;
  }
  if (!ignored.has('mode') && want.type !== 'symlink') {
    check('mode', want.mode.toString(8), got.mode.toString(8));
  }
  for (const field of ['uid', 'gid', 'mtime'] as const) {
    if (!ignored.has(field)) {
      check(field, want[field], got[field]);
    }
  }
  if (!ignored.has('content')) {
    check('size', want.size, got.size);
    check('content', want.hash, got.hash);
  }
  check('symlink target', want.target, got.target);
  check('device', want.rdev, got.rdev);
  if (!ignored.has('xattrs')) {
    const names = new Set([...Object.keys(want.xattrs), ...Object.keys(got.xattrs)]);
    for (const name of names) {
      if (!ignoreXattr(name)) {
        check(`xattr ${name}`, want.xattrs[name], got.xattrs[name]);
      }
    }
  }
  return differences;
}

// Names that the model has as links of one another within one layer must be links; names that are links must be
// links in the model too. (A link across layers may share the inode or not: overlayfs cannot keep it.)
function compareLinks(expected: Tree, actual: Tree, skip: (path: string) => boolean): string[] {
  const differences: string[] = [];
  const paths = [...expected.keys()].filter((path) => !skip(path) && actual.has(path));
  const groupsOf = (key: (path: string) => string): string[][] => {
    const groups = new Map<string, string[]>();
    for (const path of paths) {
      if (expected.get(path)?.type !== 'directory') {
        const id = key(path);
        const group = groups.get(id);
        if (group === undefined) {
          groups.set(id, [path]);
        } else {
          group.push(path);
        }
      }
    }
    return [...groups.values()].filter((group) => group.length > 1);
  };
  const compare = (
    groups: string[][],
    inode: (path: string) => string | undefined,
    verdict: string,
  ): void => {
    for (const group of groups) {
      const [first, ...rest] = group as [string, ...string[]];
      for (const other of rest) {
        if (inode(first) !== inode(other)) {
          differences.push(`${shown(other)} and ${shown(first)}: ${verdict}`);
        }
      }
    }
  };
  compare(
    groupsOf((path) => `${expected.get(path)?.inode} ${expected.get(path)?.layer ?? 0}`),
    (path) => actual.get(path)?.inode,
    'should be hard links of one another',
  );
  compare(
    groupsOf((path) => actual.get(path)?.inode ?? ''),
    (path) => expected.get(path)?.inode,
    'should not be hard links of one another',
  );
  return differences;
}

function shown(path: string): string {
  return path === '' ? '/' : JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}...` : path);
}

function brief(entry: TreeEntry): string {
  const extra = entry.target ?? entry.rdev ?? entry.size;
  return `${entry.type} ${entry.mode.toString(8)} ${entry.uid}:${entry.gid} ${extra ?? ''}`.trim();
}
