// The commit of a tree whose root is an image's own: one rename.

import { chmod, lstat, rename } from 'node:fs/promises';

const ownerWrites = 0o200;

/**
 * Renames a directory into another one. That changes its `..`, which the mode of an image's root may forbid (0555 in
 * many) where no capability passes it by: then the mode is given back after the move.
 */
export async function moveDirectory(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') {
      throw error;
    }
    const mode = (await lstat(from)).mode & 0o7777;
    if ((mode & ownerWrites) !== 0) {
      throw error;
    }
    await chmod(from, mode | ownerWrites);
    await rename(from, to);
    await chmod(to, mode);
  }
}
