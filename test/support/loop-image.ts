// File systems in a file, for what depends on the file system; they need root and a loop device.

import { execFile } from 'node:child_process';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { withScratch } from './scratch.js';

const run = promisify(execFile);
const bytes = 320 * 2 ** 20;

/** Runs `work` with the root of a new file system, and its file: `makeFs` is the command that makes it, without the file. */
export async function withLoopImage(
  makeFs: readonly string[],
  work: (root: string, image: string) => Promise<void>,
): Promise<void> {
  await withScratch(async (scratch) => {
    const image = path.join(scratch, 'image');
    const root = path.join(scratch, 'root');
    await writeFile(image, '');
    await truncate(image, bytes);
    await mkdir(root);
    const [command = '', ...args] = makeFs;
    await run(command, [...args, image]);
    await run('mount', ['-o', 'loop', image, root]);
    try {
      await work(root, image);
    } finally {
      await run('umount', [root]);
    }
  });
}

/** Why that cannot be done here, or undefined. */
export async function loopImageMissing(makeFs: readonly string[]): Promise<string | undefined> {
  try {
    await withLoopImage(makeFs, async () => {});
    return undefined;
  } catch (error) {
    return `no loop mount of ${makeFs[0]}: ${(error as Error).message}`;
  }
}
