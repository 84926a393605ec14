// One process, and one call in it, works on a destination at a time: an flock on a file inside, which
// the kernel lets go of however its owner ends.

import { type FileHandle, open, stat } from 'node:fs/promises';
import { UnpackError } from '../errors.js';
import { loadBinding } from '../native/index.js';

/** An acquired lock. */
export interface DestinationLock {
  release(): Promise<void>;
}

/**
 * Locks `file`, making it where it is missing; `ERR_DESTINATION_BUSY` when another call has it.
 * The directory of `file` may be removed by the lock's owner, and is made anew by `makeDirectory`.
 */
export async function lockDestination(
  file: string,
  makeDirectory: () => Promise<void>,
): Promise<DestinationLock> {
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
    let locked = false;
    try {
      locked = loadBinding().tryLock(handle.fd);
      if (!locked) {
        throw new UnpackError('ERR_DESTINATION_BUSY', `${file}: another unpack holds the lock`, {
          path: file,
        });
      }
      if (await isSameFile(handle, file)) {
        return { release: () => handle.close() };
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
    await handle.close(); // locked a file that its owner had removed: try the new one
  }
}

async function isSameFile(handle: FileHandle, file: string): Promise<boolean> {
  const mine = await handle.stat({ bigint: true });
  const named = await stat(file, { bigint: true }).catch(() => undefined);
  return named !== undefined && named.ino === mine.ino && named.dev === mine.dev;
}
