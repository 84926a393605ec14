// The directories of snapshots, `<root>/snapshots/<id>`, and the two moves that keep them in step with the records: a
// staged one moves there inside the write transaction that makes its record, and one without a record moves away
// inside a write transaction that makes sure of it.

import { randomUUID } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import type { Database, Snapshot, SnapshotStore } from '../metadata/index.js';
import { loadBinding } from '../native/index.js';
import type { StagedDirectory, StagingArea } from './staging-area.js';

export class SnapshotDirectories {
  /** Holds them all. */
  readonly path: string;
  readonly #database: Database;
  readonly #kind: string;

  constructor(root: string, database: Database, kind: string) {
    this.path = path.join(root, 'snapshots');
    this.#database = database;
    this.#kind = kind;
  }

  of(id: number): string {
    return path.join(this.path, String(id));
  }

  /** Where the files of a snapshot lie. */
  fs(id: number): string {
    return path.join(this.of(id), 'fs');
  }

  hasFiles(id: number): Promise<boolean> {
    return stat(this.fs(id)).then(
      (stats) => stats.isDirectory(),
      () => false,
    );
  }

  /** Runs `record` in a write transaction and moves the staged directory to where the snapshot that it makes has it. */
  async place<T extends readonly [Snapshot, ...unknown[]]>(
    area: StagingArea,
    staged: StagedDirectory,
    record: (store: SnapshotStore) => T,
  ): Promise<T> {
    try {
      return this.#update((store) => {
        const result = record(store);
        const target = this.of(result[0].id);
        try {
          renameSync(staged.directory, target);
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException;
          if (code !== 'ENOTEMPTY' && code !== 'EEXIST') {
            throw UnpackError.fromSystem(error, target);
          }
          // Left by one who died, or failed, between here and the end of the transaction, so that the id is given again.
          renameSync(target, area.next());
          renameSync(staged.directory, target);
        }
        staged.moved = true;
        return result;
      });
    } catch (error) {
      if (staged.moved) {
        // The transaction itself failed. Only another one can tell whose the directory at that id is now.
        for (const orphan of await this.moveOrphans(area).catch(() => [])) {
          await area.discard(orphan).catch(() => {});
        }
      }
      throw error;
    }
  }

  /** Within a write transaction: what is staged, and what the snapshot `id` has, change places. */
  exchange(id: number, staged: StagedDirectory): void {
    const target = this.of(id);
    try {
      if (existsSync(target)) {
        loadBinding().exchangePaths(staged.directory, target);
      } else {
        renameSync(staged.directory, target);
      }
    } catch (error) {
      throw UnpackError.fromSystem(error, target);
    }
    staged.moved = true;
  }

  /**
   * Moves directories without a record into the area; without one to names that no snapshot gets, where they are swept as
   * well. @returns where they are then
   */
  async moveOrphans(area: StagingArea | undefined): Promise<string[]> {
    const directories = this.path;
    const orphans = async () => {
      const names = await readdir(directories);
      return this.#view((store) => {
        const ids = new Set(store.list().map(({ id }) => String(id)));
        return names.filter((name) => !ids.has(name));
      });
    };
    // Others may be in the middle of a transaction: what looks like an orphan is looked at again without them.
    const suspects = await orphans();
    if (suspects.length === 0) {
      return [];
    }
    return this.#update((store) => {
      const ids = new Set(store.list().map(({ id }) => String(id)));
      const moved: string[] = [];
      for (const name of suspects.filter((suspect) => !ids.has(suspect))) {
        const target = area?.next() ?? path.join(directories, `removed-${randomUUID()}`);
        try {
          renameSync(path.join(directories, name), target);
          moved.push(target);
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException;
          if (code !== 'ENOENT') {
            throw UnpackError.fromSystem(error, path.join(directories, name));
          }
        }
      }
      return moved;
    });
  }

  #view<T>(work: (store: SnapshotStore) => T): T {
    return this.#database.view((transaction) => work(transaction.snapshots(this.#kind)));
  }

  #update<T>(work: (store: SnapshotStore) => T): T {
    return this.#database.update((transaction) => work(transaction.snapshots(this.#kind)));
  }
}
