// One process, and one call in it, unpacks a chain of layers into a store at a time: an flock per chainID, which the
// kernel lets go of however its owner ends.

import { mkdir, unlink } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { type FileLock, tryLockFile } from '../native/index.js';

export class LayerLocks {
  readonly #directory: string;

  /** @param directory made when it is needed */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Locks `chainID` of a kind of snapshotter; undefined while somebody else has it. */
  async tryLock(kind: string, chainID: string): Promise<FileLock | undefined> {
    const file = path.join(this.#directory, `${kind}-${chainID.replace(':', '-')}`);
    const lock = await tryLockFile(file, async () => {
      try {
        await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      } catch (error) {
        throw UnpackError.fromSystem(error, this.#directory);
      }
    });
    return (
      lock && {
        release: async () => {
          // While it is locked: who waits for it then finds that the path leads nowhere and makes another.
          await unlink(file).catch(() => undefined);
          await lock.release();
        },
      }
    );
  }
}
