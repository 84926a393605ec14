// Makes committed snapshots durable behind the caller's back: one syncfs(2) for all that was committed before it.

import { type FileHandle, open } from 'node:fs/promises';
import { UnpackError } from '../errors.js';
import { loadBinding } from '../native/index.js';
import type { LayerSnapshotter, SnapshotIdentity } from './snapshotter.js';

export class Syncer {
  readonly #root: string;
  readonly #snapshotter: Pick<LayerSnapshotter, 'unsynced' | 'markDurable'>;
  /** Committed by this process and not known to be on the disk, by id. */
  readonly #pending = new Map<number, SnapshotIdentity>();
  #handle: FileHandle | undefined;
  #first = true;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(root: string, snapshotter: Pick<LayerSnapshotter, 'unsynced' | 'markDurable'>) {
    this.#root = root;
    this.#snapshotter = snapshotter;
  }

  /** Before anything is written: syncfs(2) reports the failed writes since then. */
  async open(): Promise<void> {
    this.#handle ??= await open(this.#root, 'r');
  }

  add(snapshot: SnapshotIdentity): void {
    this.#pending.set(snapshot.id, snapshot);
  }

  sync(): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#sync().finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    // What is committed now may be too late for the one that runs.
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.sync();
      });
    return this.#next;
  }

  async close(): Promise<void> {
    await this.#running?.catch(() => {});
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #sync(): Promise<void> {
    try {
      // The first time also what others have left, who ended before they had synced.
      const before = this.#first ? await this.#snapshotter.unsynced() : [...this.#pending.values()];
      if (before.length === 0) {
        return;
      }
      await this.open();
      await loadBinding().syncFileSystem((this.#handle as FileHandle).fd);
      await this.#snapshotter.markDurable(before);
      this.#first = false;
      for (const { id } of before) {
        this.#pending.delete(id);
      }
    } catch (error) {
      throw UnpackError.fromSystem(error, this.#root);
    }
  }
}
