// One process, and one call in it, does a thing in a store at a time: unpacks a chain of layers, mounts a container. An
// flock per name, which the kernel lets go of however its owner ends.

import { readdir, unlink } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { type FileLock, makeDirectory, tryLockFile } from '../native/index.js';

export class LayerLocks {
  readonly #directory: string;

  /** @param directory made when it is needed */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Locks a name of its kind, as a chainID of a kind of snapshotter; undefined while somebody else has it. */
  tryLock(kind: string, name: string): Promise<FileLock | undefined> {
    return this.#tryLock(`${kind}-${name.replace(':', '-')}`);
  }

  /** Removes the files that killed owners have left. */
  async sweep(): Promise<void> {
    for (const name of await readdir(this.#directory).catch(() => [])) {
      // Who wants this one meanwhile finds it taken, and looks again.
      await (await this.#tryLock(name))?.release();
    }
  }

  async #tryLock(name: string): Promise<FileLock | undefined> {
    const file = path.join(this.#directory, name);
    const lock = await tryLockFile(file, async () => {
      try {
        await makeDirectory(this.#directory, 0o700);
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
