// A bbolt database that is only read, also while another process has it open and writes: no lock is taken (bbolt's
// would shut the writer out), nothing is mapped. A transaction of the writer reuses no page that the meta page before
// it names; so what was read is one state of the database if the meta page is still the same afterwards.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnpackError } from '../errors.js';
import { damaged } from './damage.js';
import { chooseMeta, type Meta, metaSize } from './meta.js';
import { type BoltBytes, BoltTransaction } from './transaction.js';

/** Options of {@link BoltFile.open}. */
export interface BoltOptions {
  /** How much of the file a view may read and keep in memory, in bytes. Default 1 GiB. */
  maxBytes?: number;
}

const defaultMaxBytes = 1024 ** 3;
const maxAttempts = 50;

/** An open database. */
export class BoltFile {
  readonly path: string;
  readonly #descriptor: number;
  readonly #maxBytes: number;
  #open = true;

  private constructor(path: string, descriptor: number, maxBytes: number) {
    this.path = path;
    this.#descriptor = descriptor;
    this.#maxBytes = maxBytes;
  }

  /**
   * Opens a database for reading.
   *
   * @throws UnpackError `ERR_NOT_FOUND`, `ERR_PERMISSION`, `ERR_INVALID_STORE` for what is no regular file
   */
  static open(path: string, { maxBytes = defaultMaxBytes }: BoltOptions = {}): BoltFile {
    let descriptor: number;
    try {
      // O_NONBLOCK: a fifo would wait for a writer.
      descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      throw UnpackError.fromSystem(error, path);
    }
    const file = new BoltFile(path, descriptor, maxBytes);
    if (!fstatSync(descriptor).isFile()) {
      file.close();
      throw damaged(path, 'is not a regular file');
    }
    return file;
  }

  /**
   * Calls `read` with one state of the database and resolves to what it returns. It may be called again when the
   * database was changed meanwhile, and must not keep buckets or buffers.
   *
   * @throws UnpackError `ERR_INVALID_STORE`, `ERR_UNKNOWN_STORE_VERSION`, `ERR_LIMIT_EXCEEDED`; `ERR_STORE_BUSY`
   *   when it changes faster than it can be read
   */
  async view<T>(read: (transaction: BoltTransaction) => T): Promise<T> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const outcome = this.#try(read, attempt > 0);
      if (outcome !== undefined) {
        return outcome.value;
      }
      await sleep(attempt);
    }
    throw new UnpackError(
      'ERR_STORE_BUSY',
      `${this.path}: was changed each of the ${maxAttempts} times that it was read`,
      { path: this.path },
    );
  }

  close(): void {
    if (this.#open) {
      this.#open = false;
      closeSync(this.#descriptor);
    }
  }

  /** Undefined when it was changed. */
  #try<T>(read: (transaction: BoltTransaction) => T, atOnce: boolean): { value: T } | undefined {
    const meta = this.#meta();
    const isCurrent = () => {
      const now = this.#meta();
      return now.transaction === meta.transaction && now.root === meta.root;
    };
    let bytes: BoltBytes = { size: this.#size(), read: (from, length) => this.#read(from, length) };
    const end = Math.min(bytes.size, meta.highWater * meta.pageSize);
    // The first try reads the few pages that it needs. Where that took too long, all is read at once, which is over soon.
    const isWhole = atOnce && end <= this.#maxBytes;
    if (isWhole) {
      const all = this.#read(0, end);
      if (!isCurrent()) {
        return undefined;
      }
      bytes = { size: end, read: (offset, length) => all.subarray(offset, offset + length) };
    }
    try {
      const value = read(new BoltTransaction(this.path, bytes, meta, this.#maxBytes));
      return isWhole || isCurrent() ? { value } : undefined;
    } catch (error) {
      if (isWhole || isCurrent()) {
        throw error;
      }
      return undefined;
    }
  }

  #meta(): Meta {
    return chooseMeta((offset) => this.#readUpTo(offset, metaSize), this.path);
  }

  #size(): number {
    try {
      return fstatSync(this.#descriptor).size;
    } catch (error) {
      throw UnpackError.fromSystem(error, this.path);
    }
  }

  #read(offset: number, length: number): Buffer {
    const bytes = this.#readUpTo(offset, length);
    if (bytes.length < length) {
      throw damaged(this.path, `ends at ${offset + bytes.length} bytes`);
    }
    return bytes;
  }

  #readUpTo(offset: number, length: number): Buffer {
    const buffer = Buffer.allocUnsafeSlow(length);
    let filled = 0;
    while (filled < length) {
      let count: number;
      try {
        count = readSync(this.#descriptor, buffer, filled, length - filled, offset + filled);
      } catch (error) {
        throw UnpackError.fromSystem(error, this.path);
      }
      if (count === 0) {
        break;
      }
      filled += count;
    }
    return buffer.subarray(0, filled);
  }
}
