// A lock between processes, and between calls in one: an flock on a file, which the kernel lets go of however its
// owner ends.

import { type FileHandle, open, stat } from 'node:fs/promises';
import { rollBack } from '../clean-up.js';
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
    let handle: FileHandle;
    try {
      handle = await open(file, 'a', 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        continue; // the owner cleaned up between the two calls
      }
      throw UnpackError.fromSystem(error, file);
    }
    try {
      if (!loadBinding().tryLock(handle.fd)) {
        await handle.close();
        return undefined;
      }
      if (await isSameFile(handle, file)) {
        return { release: () => handle.close() };
      }
    } catch (error) {
      await rollBack(() => handle.close());
      throw UnpackError.fromSystem(error, file);
    }
    await handle.close(); // locked a file that its owner had removed: try the new one
  }
}

async function isSameFile(handle: FileHandle, file: string): Promise<boolean> {
  const mine = await handle.stat({ bigint: true });
  const named = await stat(file, { bigint: true }).catch(() => undefined);
  return named !== undefined && named.ino === mine.ino && named.dev === mine.dev;
}
