// umoci unpack, a sequential applier that others wrote: what the model and our results are checked against. Skipped
// where it is not installed (Debian package `umoci`).

import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Tree } from './tree.js';
import { dumpTree } from './tree-dump.js';

const run = promisify(execFile);

/** Why umoci cannot be used here, or nothing when it can. */
export async function umociMissing(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) {
    return 'umoci as root only';
  }
  try {
    await run('umoci', ['--version']);
    return undefined;
  } catch {
    return 'umoci is not installed (apt-get install umoci)';
  }
}

/** Unpacks `layout`:`tag` into `directory`/rootfs; what umoci says when it refuses the image. */
export async function umociUnpack(
  layout: string,
  tag: string,
  directory: string,
): Promise<{ tree: Tree } | { refused: string }> {
  const root = path.join(directory, 'rootfs');
  await mkdir(directory, { recursive: true });
  try {
    await run('umoci', ['raw', 'unpack', '--image', `${layout}:${tag}`, root]);
  } catch (error) {
    return { refused: (error as { stderr?: string }).stderr ?? String(error) };
  }
  return { tree: await dumpTree(root) };
}
