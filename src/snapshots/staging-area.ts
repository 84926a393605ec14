// Where a process makes what is not part of the store yet, and puts what is not part of it any more: a directory of its
// own on the file system of the snapshots, with a file that it has locked while it lives. What a dead process
// leaves is told by the lock, never by a pid, and swept by whoever comes by.

import { randomBytes } from 'node:crypto';
import { renameSync } from 'node:fs';
import { access, chmod, readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { rollBack } from '../clean-up.js';
import { UnpackError } from '../errors.js';
import { type FileLock, makeDirectory, removeTree, tryLockFile } from '../native/index.js';
import type { Staging } from './snapshotter.js';

const lockName = 'lock';

export class StagingArea {
  readonly directory: string;
  readonly #parent: string;
  readonly #lock: FileLock;
  readonly #removals = new Set<Promise<void>>();
  #count = 0;

  private constructor(parent: string, directory: string, lock: FileLock) {
    this.#parent = parent;
    this.directory = directory;
    this.#lock = lock;
  }

  /** A new area in `parent`, a directory that is made where it is missing. */
  static async open(parent: string): Promise<StagingArea> {
    for (;;) {
      const directory = path.join(parent, `${process.pid}-${randomBytes(6).toString('hex')}`);
      const make = async () => {
        await makeDirectory(directory, 0o700);
      };
      const lock = await tryLockFile(path.join(directory, lockName), make);
      if (lock !== undefined) {
        return new StagingArea(parent, directory, lock);
      }
      // A sweeper has just taken it for a dead one's: it is gone, take another.
    }
  }

  /** A path in the area that nothing has yet. */
  next(): string {
    this.#count++;
    return path.join(this.directory, String(this.#count));
  }

  /** A new staging directory with an empty `fs`. */
  async make(): Promise<StagedDirectory> {
    const staged = new StagedDirectory(this, this.next());
    try {
      await makeDirectory(staged.fs, 0o700);
      await chmod(staged.fs, 0o755); // whatever the umask is
    } catch (error) {
      await rollBack(() => staged.discard());
      throw error;
    }
    return staged;
  }

  /** Removes `directory`, which is on the same file system: at once from where it is, then all of it. */
  async discard(directory: string): Promise<void> {
    const doomed = this.#moveAway(directory);
    if (doomed !== undefined) {
      await removeTree(doomed);
    }
  }

  /** As {@link StagingArea.discard}, without waiting for more than that it is not where it was. */
  abandon(directory: string): void {
    const doomed = this.#moveAway(directory);
    if (doomed !== undefined) {
      const removal = removeTree(doomed)
        .catch(() => undefined) // `close` tries again, and whoever sweeps
        .finally(() => this.#removals.delete(removal));
      this.#removals.add(removal);
    }
  }

  /** Its new path; undefined where there is nothing. */
  #moveAway(directory: string): string | undefined {
    const doomed = this.next();
    try {
      renameSync(directory, doomed);
      return doomed;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        return undefined;
      }
      throw UnpackError.fromSystem(error, directory);
    }
  }

  /** Removes the areas of processes that have ended. @returns how many, and why others could not be removed */
  async sweep(): Promise<{ swept: number; failures: UnpackError[] }> {
    const failures: UnpackError[] = [];
    let swept = 0;
    for (const name of await readdir(this.#parent)) {
      const directory = path.join(this.#parent, name);
      if (directory === this.directory) {
        continue;
      }
      try {
        swept += (await this.#sweepOne(directory)) ? 1 : 0;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'ENOENT') {
          failures.push(UnpackError.fromSystem(error, directory));
        }
      }
    }
    return { swept, failures };
  }

  /** Removes all that is in the area, and unlocks: what cannot be removed is swept by the next. */
  async close(): Promise<void> {
    await rollBack(
      () => Promise.allSettled(this.#removals),
      () => removeTree(this.directory),
    );
    await this.#lock.release();
  }

  async #sweepOne(directory: string): Promise<boolean> {
    const lock = await tryLockFile(path.join(directory, lockName), () => access(directory));
    if (lock === undefined) {
      return false;
    }
    try {
      // First out of the way of other sweepers, who find no lock to take there any more.
      const doomed = this.next();
      await rename(directory, doomed);
      await removeTree(doomed);
      return true;
    } finally {
      await lock.release();
    }
  }
}

/** A {@link Staging} of an area. */
export class StagedDirectory implements Staging {
  readonly directory: string;
  readonly fs: string;
  readonly treeIndex: string;
  readonly #area: StagingArea;
  /** It has become something else's directory. */
  moved = false;

  constructor(area: StagingArea, directory: string) {
    this.#area = area;
    this.directory = directory;
    this.fs = path.join(directory, 'fs');
    this.treeIndex = path.join(directory, treeIndexName);
  }

  isOf(area: StagingArea): boolean {
    return this.#area === area;
  }

  async discard(): Promise<void> {
    if (!this.moved) {
      await this.#area.discard(this.directory);
    }
  }

  async abandon(): Promise<void> {
    if (!this.moved) {
      this.#area.abandon(this.directory);
    }
  }
}

/** Name of a layer's tree index, beside its `fs`. */
export const treeIndexName = 'tree.idx';
