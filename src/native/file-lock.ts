// A lock between processes, and between calls in one: an flock on a file, which the kernel lets go of however its
// owner ends.

import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { UnpackError } from '../errors.js';
import { loadBinding } from './load.js';

/** An acquired lock. */
export interface FileLock {
  release(): Promise<void>;
}

/**
 * Locks `file`, making it where it is missing; undefined when somebody else has it. The file and its directory may be
 * removed by the lock's owner; the directory is then made anew by `makeDirectory`.
 */
export async function tryLockFile(
  file: string,
  makeDirectory: () => Promise<unknown>,
): Promise<FileLock | undefined> {
  for (;;) {
    await makeDirectory();
    let descriptor: number;
    try {
      descriptor = openSync(file, 'a', 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        continue; // the owner cleaned up between the two calls
      }
      throw UnpackError.fromSystem(error, file);
    }
    try {
      if (!loadBinding().tryLock(descriptor)) {
        closeSync(descriptor);
        return undefined;
      }
      if (isSameFile(descriptor, file)) {
        return heldLock(descriptor);
      }
    } catch (error) {
      closeSync(descriptor);
      throw UnpackError.fromSystem(error, file);
    }
    closeSync(descriptor); // locked a file that its owner had removed: try the new one
  }
}

function heldLock(descriptor: number): FileLock {
  let isHeld = true;
  return {
    release: async () => {
      if (isHeld) {
        isHeld = false; // the number may be another file's by the next call
        closeSync(descriptor);
      }
    },
  };
}

function isSameFile(descriptor: number, file: string): boolean {
  const mine = fstatSync(descriptor, { bigint: true });
  const named = statSync(file, { bigint: true, throwIfNoEntry: false });
  return named !== undefined && named.ino === mine.ino && named.dev === mine.dev;
}
