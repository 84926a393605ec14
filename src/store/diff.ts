// What a snapshot changes: its tree and that of its parent, both as their users see them, compared entry by entry. With
// overlayfs only directories that the snapshot itself holds are looked into.

import type { BigIntStats } from 'node:fs';
import { lstat, mkdir, mkdtemp, readdir, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { loadBinding } from '../native/index.js';
import type { LayerSnapshotter } from '../snapshots/index.js';

/** A difference between a snapshot and its parent. */
export interface SnapshotChange {
  kind: 'added' | 'changed' | 'deleted';
  /** Absolute inside the root; bytes that are not UTF-8 are written `\xNN`. */
  path: string;
}

/**
 * What `key` changes, sorted by path; of a directory that was deleted or added all that was in it.
 *
 * @throws UnpackError `ERR_STORE_NOT_FOUND`; `ERR_UNSUPPORTED` for kind aufs; `ERR_MOUNT` without the right to mount
 */
export async function diffSnapshot(
  snapshotter: LayerSnapshotter,
  key: string,
): Promise<SnapshotChange[]> {
  const chain: string[] = [];
  for (let name: string | undefined = key; name !== undefined; ) {
    const { directory, parent } = await snapshotter.stat(name);
    chain.push(path.join(directory, 'fs'));
    name = parent;
  }
  const [own = '', ...below] = chain;
  if (snapshotter.flat) {
    return compare(own, own, below[0]);
  }
  if (snapshotter.kind === 'aufs') {
    throw new UnpackError(
      'ERR_UNSUPPORTED',
      'aufs snapshots cannot be compared: kernels of today have no aufs',
    );
  }
  const scratch = await mkdtemp(path.join(tmpdir(), 'oci-unpack-diff-'));
  const mounted: string[] = [];
  const view = async (name: string, lowers: string[]): Promise<string | undefined> => {
    const target = path.join(scratch, name);
    await mkdir(target);
    if (lowers.length === 0) {
      return undefined;
    }
    if (lowers.length === 1) {
      // overlayfs takes two; what is in one alone is seen through an empty one.
      const empty = path.join(scratch, `${name}-empty`);
      await mkdir(empty);
      lowers.push(empty);
    }
    const userxattr = snapshotter.format === 'overlay-userxattr';
    await loadBinding().mountOverlay({ lowers, target, userxattr });
    mounted.push(target);
    return target;
  };
  try {
    const now = await view('now', [...chain]);
    const before = await view('before', [...below]);
    return await compare(own, now ?? own, before);
  } catch (error) {
    throw UnpackError.from(error);
  } finally {
    for (const target of mounted) {
      await loadBinding().unmount({ target, lazy: false });
    }
    await rm(scratch, { recursive: true, force: true });
  }
}

async function compare(
  own: string,
  now: string,
  before: string | undefined,
): Promise<SnapshotChange[]> {
  const changes: SnapshotChange[] = [];
  const note = (kind: SnapshotChange['kind'], at: Buffer) => {
    changes.push({ kind, path: textOf(at) });
  };

  const deleteAll = async (at: Buffer): Promise<void> => {
    note('deleted', at);
    for (const name of await namesIn(before, at)) {
      await deleteAll(join(at, name));
    }
  };

  const visit = async (at: Buffer): Promise<void> => {
    const here = await namesIn(now, at);
    const there = new Set(here.map(keyOf));
    for (const name of await namesIn(before, at)) {
      if (!there.has(keyOf(name))) {
        await deleteAll(join(at, name));
      }
    }
    const held = own === now ? here : await namesIn(own, at);
    for (const name of held.filter((one) => there.has(keyOf(one)))) {
      const next = join(at, name);
      const found = await statAt(now, next);
      if (found === undefined) {
        continue;
      }
      const old = await statAt(before, next);
      if (old === undefined) {
        note('added', next);
      } else if (await differs(now, before ?? '', next, found, old)) {
        note('changed', next);
      }
      if (found.isDirectory()) {
        await visit(next);
      } else if (old?.isDirectory()) {
        for (const child of await namesIn(before, next)) {
          await deleteAll(join(next, child));
        }
      }
    }
  };

  await visit(Buffer.from('/'));
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function differs(
  now: string,
  before: string,
  at: Buffer,
  found: BigIntStats,
  old: BigIntStats,
): Promise<boolean> {
  for (const field of ['mode', 'uid', 'gid', 'rdev', 'mtimeNs'] as const) {
    if (found[field] !== old[field]) {
      return true;
    }
  }
  if (found.isFile()) {
    return found.size !== old.size;
  }
  if (!found.isSymbolicLink()) {
    return false;
  }
  const [one, other] = await Promise.all(
    [now, before].map((root) => readlink(below(root, at), 'buffer')),
  );
  return one?.equals(other as Buffer) !== true;
}

/** None where there is no directory. */
async function namesIn(root: string | undefined, at: Buffer): Promise<Buffer[]> {
  if (root === undefined) {
    return [];
  }
  try {
    return await readdir(below(root, at), 'buffer');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      return [];
    }
    throw UnpackError.fromSystem(error, root);
  }
}

async function statAt(root: string | undefined, at: Buffer): Promise<BigIntStats | undefined> {
  return root === undefined
    ? undefined
    : lstat(below(root, at), { bigint: true }).catch(() => undefined);
}

function below(root: string, at: Buffer): Buffer {
  return Buffer.concat([Buffer.from(root), at]);
}

function join(at: Buffer, name: Buffer): Buffer {
  return Buffer.concat([at, at.length > 1 ? Buffer.from('/') : Buffer.alloc(0), name]);
}

function keyOf(name: Buffer): string {
  return name.toString('latin1');
}

function textOf(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  return Buffer.from(text).equals(bytes)
    ? text.replaceAll('\\', '\\\\')
    : Array.from(bytes, (byte) =>
        byte >= 0x20 && byte < 0x7f && byte !== 0x5c
          ? String.fromCharCode(byte)
          : `\\x${byte.toString(16).padStart(2, '0')}`,
      ).join('');
}
