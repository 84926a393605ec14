// What is on disk as a Tree: one directory, or layers that are merged here, without a mount.

import { execFile } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { removeBelow, sha256, type Tree, type TreeNode } from './tree.js';

const whiteoutPrefix = '.wh.';
const opaqueMarker = '.wh..wh..opq';

/** How many files are looked at before others get their turn. */
const batch = 200;

/**
 * Everything in `directory`. By blocking calls, which are several times as fast as the others on many small files;
 * the event loop runs in between.
 */
export async function scanDirectory(directory: string, signal?: AbortSignal): Promise<Tree> {
  const found: [string, TreeNode][] = [];
  const queue = [''];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (found.length % batch === 0) {
      await setImmediate();
      signal?.throwIfAborted();
    }
    const full = path.join(directory, name);
    const node = scanNode(full);
    found.push([name, node]);
    if (node.type === 'directory') {
      for (const child of readdirSync(full)) {
        queue.push(name === '' ? child : `${name}/${child}`);
      }
    }
  }
  return new Map(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function scanNode(full: string): TreeNode {
  const status = lstatSync(full, { bigint: true });
  const node = {
    mode: Number(status.mode & 0o7777n),
    uid: Number(status.uid),
    gid: Number(status.gid),
    mtime: status.mtimeNs,
    inode: `${status.dev}:${status.ino}`,
  };
  if (status.isDirectory()) {
    return { ...node, type: 'directory' };
  }
  if (status.isSymbolicLink()) {
    return { ...node, type: 'symlink', target: readlinkSync(full) };
  }
  if (status.isFile()) {
    return { ...node, type: 'file', digest: sha256(readFileSync(full)) };
  }
  return { ...node, type: 'other' };
}

/**
 * The merged view of layers with `.wh.` files in them (format `aufs`, and what JavaScript writes), bottom first.
 * A directory that a layer names replaces the metadata of the lower one; its content is merged.
 */
export async function scanLayers(directories: string[], signal?: AbortSignal): Promise<Tree> {
  const merged: Tree = new Map();
  for (const directory of directories) {
    const layer = await scanDirectory(directory, signal);
    for (const name of layer.keys()) {
      const parent = path.dirname(name) === '.' ? '' : path.dirname(name);
      const base = path.basename(name);
      if (base === opaqueMarker) {
        removeBelow(merged, parent);
        layer.delete(name);
      } else if (base.startsWith(whiteoutPrefix)) {
        const hidden = path.join(parent, base.slice(whiteoutPrefix.length));
        removeBelow(merged, hidden);
        merged.delete(hidden);
        layer.delete(name);
      }
    }
    for (const [name, node] of layer) {
      if (node.type !== 'directory' && merged.get(name)?.type === 'directory') {
        removeBelow(merged, name);
      }
      merged.set(name, node);
    }
  }
  return merged;
}

const readXattrs = `
import json, os, sys
for path in json.load(sys.stdin):
    names = [n for n in os.listxattr(path, follow_symlinks=False) if n.startswith('security.cap') or n.startswith('user.')]
    print(json.dumps({n: os.getxattr(path, n, follow_symlinks=False).hex() for n in names}))
`;

/**
 * Adds the extended attributes of `paths` to a tree of `directory`. Node cannot read them: Python does, where the
 * machine has it.
 *
 * @returns whether they could be read.
 */
export async function addXattrs(tree: Tree, directory: string, paths: string[]): Promise<boolean> {
  const present = paths.filter((name) => existsSync(path.join(directory, name)));
  try {
    const running = promisify(execFile)('python3', ['-c', readXattrs]);
    running.child.stdin?.end(JSON.stringify(present.map((name) => path.join(directory, name))));
    const lines = (await running).stdout.trim().split('\n');
    present.forEach((name, index) => {
      const values = JSON.parse(lines[index] ?? '{}') as Record<string, string>;
      const xattrs = Object.entries(values).map(([key, hex]) => [key, Buffer.from(hex, 'hex')]);
      const node = tree.get(name);
      if (node !== undefined) {
        node.xattrs = Object.fromEntries(xattrs);
      }
    });
    return true;
  } catch {
    return false;
  }
}
