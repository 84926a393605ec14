// Scratch directories for tests: on /dev/shm where there is one, since tests make and delete many small files.

import { execFile } from 'node:child_process';
import { accessSync, constants, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

/** Directory for scratch directories; `SCRATCH` in the environment overrides it. */
export const scratchRoot: string = process.env.SCRATCH ?? firstWritable(['/dev/shm', tmpdir()]);

function firstWritable(directories: readonly string[]): string {
  for (const directory of directories) {
    try {
      accessSync(directory, constants.W_OK);
      return directory;
    } catch {
      // The next one.
    }
  }
  return tmpdir();
}

/** Runs `work` with a fresh directory and removes it. */
export async function withScratch<T>(
  work: (directory: string) => Promise<T>,
  root = scratchRoot,
): Promise<T> {
  const directory = await mkdtemp(path.join(root, 'oci-unpack-test-'));
  try {
    return await work(directory);
  } finally {
    try {
      // Tests wait for nothing else then, and Node's other one takes several times as long.
      rmSync(directory, { recursive: true, force: true });
    } catch {
      // Node joins paths, and cannot remove what lies beyond PATH_MAX.
      await promisify(execFile)('rm', ['-rf', '--', directory]);
    }
  }
}
