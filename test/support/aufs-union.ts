// aufs without aufs, for kernels that have none: makes the union of the branches as a plain directory, and writes what
// was changed in it to the writable branch, in the form that aufs does. Reading back is aufs-view.ts' business.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { loadBinding } from '../../src/native/index.js';
import { withBranch } from './aufs-view.js';
import type { Tree, TreeEntry } from './tree.js';
import { dumpTree } from './tree-dump.js';

const run = promisify(execFile);

export interface Branches {
  /** The writable one. */
  upper: string | undefined;
  /** The nearest first. */
  lowers: string[];
}

/** Of the options of an aufs mount. */
export function branchesOf(options: readonly string[]): Branches {
  const value = options.find((option) => option.startsWith('br:'))?.slice('br:'.length) ?? '';
  const branches: Branches = { upper: undefined, lowers: [] };
  for (const branch of value.split(':')) {
    const [directory, permission] = branch.split('=') as [string, string];
    if (permission === 'rw') {
      branches.upper = directory;
    } else if (permission === 'ro+wh') {
      branches.lowers.push(directory);
    } else {
      throw new Error(`an unknown kind of branch: ${branch}`);
    }
  }
  return branches;
}

// Branches that are read-only do not change: what was read of them, and unions of them, are kept. The unions lie in
// the scratch directory of the test that asked for them first, which no other asks for.
const views = new Map<string, Promise<Tree>>();
const unions = new Map<string, Promise<string>>();

/** What aufs would show. */
export async function dumpUnion({ upper, lowers }: Branches): Promise<Tree> {
  const below = await viewOf(lowers);
  return upper === undefined ? below : withBranch(below, await dumpTree(upper), lowers.length);
}

/** What read-only branches show. */
function viewOf(lowers: readonly string[]): Promise<Tree> {
  const key = lowers.join(':');
  const make = async (): Promise<Tree> => {
    const [top, ...rest] = lowers;
    return top === undefined
      ? new Map()
      : withBranch(await viewOf(rest), await dumpTree(top), rest.length);
  };
  const view = views.get(key) ?? make();
  views.set(key, view);
  return view;
}

/** Runs `work` on the union as a directory at `target`, which is empty before and after. */
export async function withUnion<T>(
  branches: Branches,
  target: string,
  work: () => Promise<T>,
): Promise<T> {
  const { upper, lowers } = branches;
  await copy(await unionOf(lowers, path.dirname(target)), target);
  try {
    if (upper === undefined) {
      return await work();
    }
    const before = await dumpTree(target);
    await fill(target, upper);
    const result = await work();
    await writeChanges(before, target, upper);
    return result;
  } finally {
    await clear(target);
  }
}

/** A directory below `scratch` that holds the union of read-only branches. */
function unionOf(lowers: readonly string[], scratch: string): Promise<string> {
  const key = lowers.join(':');
  const make = async () => {
    const directory = await mkdtemp(path.join(scratch, 'union-'));
    const [top, ...rest] = lowers;
    if (top !== undefined) {
      await copy(await unionOf(rest, scratch), directory);
      await fill(directory, top);
    }
    return directory;
  };
  const union = unions.get(key === '' ? scratch : key) ?? make();
  unions.set(key === '' ? scratch : key, union);
  return union;
}

/** Puts one branch on top. */
async function fill(target: string, branch: string): Promise<void> {
  const tree = await dumpTree(branch, { content: false });
  // A new one has its root directory alone.
  if (tree.size > 1) {
    await fillWith(target, branch, tree);
  }
  // All that was done has changed the times of directories.
  for (const { path: name, type } of [...tree.values()].reverse()) {
    if (type === 'directory') {
      await copyMetadata(path.join(branch, name), path.join(target, name));
    }
  }
}

async function fillWith(target: string, branch: string, tree: Tree): Promise<void> {
  const shown = await dumpTree(target, { content: false });
  let marks = 0;
  for (const { path: name, type } of tree.values()) {
    const { dir, base } = path.parse(name);
    const below = shown.get(name);
    marks += base.startsWith('.wh.') ? 1 : 0;
    if (base === '.wh..wh..opq') {
      await clear(path.join(target, dir));
    } else if (base.startsWith('.wh.')) {
      await rm(path.join(target, dir, base.slice('.wh.'.length)), {
        recursive: true,
        force: true,
      });
    } else if (below !== undefined && (below.type !== 'directory' || type !== 'directory')) {
      await rm(path.join(target, name), { recursive: true, force: true });
    }
  }
  await run('cp', ['-a', '--remove-destination', `${branch}/.`, target]);
  if (marks > 0) {
    await run('find', [target, '-name', '.wh.*', '-delete']);
  }
}

async function writeChanges(before: Tree, target: string, upper: string): Promise<void> {
  await clear(upper);
  const after = await dumpTree(target);
  const files: string[] = [];
  const directories: string[] = [];
  for (const entry of after.values()) {
    const old = before.get(entry.path);
    if (old !== undefined && same(old, entry)) {
      continue;
    }
    (entry.type === 'directory' ? directories : files).push(entry.path);
  }
  for (const directory of directories) {
    await mkdir(path.join(upper, directory), { recursive: true });
  }
  if (files.length > 0) {
    // In one call, which keeps the hard links between them.
    await run('cp', ['-a', '--parents', '-t', upper, '--', ...files], { cwd: target });
  }
  for (const entry of before.values()) {
    const parent = parentOf(entry.path);
    if (!after.has(entry.path) && after.get(parent)?.type === 'directory') {
      await mkdir(path.join(upper, parent), { recursive: true });
      const { base } = path.parse(entry.path);
      await writeFile(path.join(upper, parent, `.wh.${base}`), '');
    }
  }
  for (const entry of [...(await dumpTree(upper, { content: false })).values()].reverse()) {
    if (entry.type === 'directory') {
      await copyMetadata(path.join(target, entry.path), path.join(upper, entry.path));
    }
  }
}

function same(a: TreeEntry, b: TreeEntry): boolean {
  const text = ({ inode: _, links, blocks: __, ...entry }: TreeEntry) =>
    JSON.stringify({ ...entry, links: entry.type === 'directory' ? 0 : links }, (___, value) =>
      typeof value === 'bigint' ? String(value) : value,
    );
  return text(a) === text(b);
}

function parentOf(name: string): string {
  return name.includes('/') ? name.slice(0, name.lastIndexOf('/')) : '';
}

async function copy(from: string, to: string): Promise<void> {
  await loadBinding().copyTree({ from, to, threads: 1 });
}

function copyMetadata(from: string, to: string): Promise<void> {
  return loadBinding().copyDirectoryMetadata({ from, to });
}

async function clear(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    await rm(path.join(directory, name), { recursive: true });
  }
}
