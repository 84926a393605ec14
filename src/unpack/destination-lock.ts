// One process, and one call in it, works on a destination at a time.

import { UnpackError } from '../errors.js';
import { type FileLock, tryLockFile } from '../native/index.js';

/**
 * Locks `file`, making it where it is missing; `ERR_DESTINATION_BUSY` when another call has it.
 * The directory of `file` may be removed by the lock's owner, and is made anew by `makeDirectory`.
 */
export async function lockDestination(
  file: string,
  makeDirectory: () => Promise<void>,
): Promise<FileLock> {
  const lock = await tryLockFile(file, makeDirectory);
  if (lock === undefined) {
    throw new UnpackError('ERR_DESTINATION_BUSY', `${file}: another unpack holds the lock`, {
      path: file,
    });
  }
  return lock;
}
