// The LMDB tree: keys of text to JSON values, read and written in synchronous transactions. All that knows the
// `lmdb` package is here; require-lmdb.ts loads it. Commits wait for the disk (LMDB's own way: data, fdatasync, then the page that
// makes it valid), so that a reader never sees what a power loss could take back.

import type { RootDatabase } from 'lmdb';
import { UnpackError } from '../errors.js';
import { makeDirectorySync } from '../native/index.js';
import { checkExtent } from './data-extent.js';
import { checkDataFile, prepareFiles } from './environment-files.js';
import { requireLmdb } from './require-lmdb.js';
import { reserveRoom } from './room.js';
import { type Bucket, buckets, type RawStore } from './schema.js';
import { withWriteLock } from './write-lock.js';

/** LMDB's own return codes (lmdb.h), and the errno that a commit can fail with. */
const corruptCodes = new Set([-30797, -30796, -30795, -30794, -30793]);
const readersFull = -30790;
/** Of an environment whose commit has failed in the middle (MDB_PANIC), the second time EINVAL. */
const panic = -30795;
const invalid = 22;

/** How many processes and threads can read at once; LMDB fixes it when the first of them opens. */
const maxReaders = 1024;

/**
 * Keys as their UTF-8, in the order of its bytes. Node's own code reads and writes them, as it does JSON values, which
 * makes the first ten thousand records of a process, read by code that is not compiled yet, twice as quick
 * as the package's ordered keys and msgpack.
 */
interface Utf8Source {
  utf8Slice(start: number, end: number): string;
}

const utf8Keys = {
  writeKey: (key: string, target: Buffer, start: number) => start + target.write(key, start),
  readKey: (source: Utf8Source, start: number, end: number) => source.utf8Slice(start, end),
};

export interface TreeOptions {
  readOnly: boolean;
  /** False: commits do not wait for the disk, and a power loss can destroy the tree. */
  sync: boolean;
}

/** Trees that are in a write transaction now, by directory: a second one in this thread would wait for ever. */
const writing = new Set<string>();

export class Tree implements RawStore {
  readonly #database: RootDatabase<unknown, string>;
  readonly #directory: string;
  readonly readOnly: boolean;
  #closed = false;
  /** Why a commit has failed. LMDB may refuse all after it then, until the tree is opened anew. */
  #failed: UnpackError | undefined;
  /** How many views are in each other now: the inner ones see what the outermost sees. */
  #views = 0;

  constructor(directory: string, options: TreeOptions) {
    this.#directory = directory;
    this.readOnly = options.readOnly;
    const isThere = checkDataFile(directory);
    if (!isThere && options.readOnly) {
      throw new UnpackError('ERR_NOT_FOUND', `${directory}: there is no store`, {
        path: directory,
      });
    }
    try {
      if (!options.readOnly) {
        makeDirectorySync(directory, 0o700);
      }
      const { open } = requireLmdb();
      const opening = () => {
        if (!options.readOnly) {
          prepareFiles(directory, { maxReaders, isNew: !isThere, sync: options.sync });
        }
        if (isThere) {
          checkExtent(directory);
        }
        return open<unknown, string>(directory, {
          noSubdir: false,
          readOnly: options.readOnly,
          noSync: !options.sync,
          overlappingSync: false,
          maxReaders,
          encoding: 'json',
          keyEncoder: utf8Keys,
        });
      };
      // In a write transaction it is locked already.
      this.#database = writing.has(directory) ? opening() : withWriteLock(directory, opening);
    } catch (error) {
      throw UnpackError.fromSystem(this.#errorOf(error), directory);
    }
  }

  /** Runs `work` on one state of the tree: what others commit meanwhile is not seen. */
  view<T>(work: () => T): T {
    this.#check();
    this.#views++;
    try {
      if (this.#views === 1 && !writing.has(this.#directory)) {
        this.#database.resetReadTxn(); // else it may be the state of an earlier call
      }
      return synchronous(work());
    } catch (error) {
      throw this.#errorOf(error);
    } finally {
      this.#views--;
    }
  }

  /**
   * Runs `work` in a write transaction: waits for the writers of other processes, commits when it returns,
   * takes everything back when it throws.
   */
  update<T>(work: () => T): T {
    this.#check();
    if (this.readOnly) {
      throw new UnpackError('ERR_STORE_READ_ONLY', `${this.#directory}: is open for reading only`);
    }
    if (writing.has(this.#directory)) {
      throw new UnpackError('ERR_INTERNAL', 'a write transaction inside a write transaction');
    }
    writing.add(this.#directory);
    try {
      // Boxed: a bare result could be lmdb's mark for aborting, or a promise that it would wait for.
      return withWriteLock(this.#directory, () => {
        reserveRoom(this.#directory);
        return this.#database.transactionSync(() => ({ result: synchronous(work()) })).result;
      });
    } catch (error) {
      throw this.#errorOf(error);
    } finally {
      writing.delete(this.#directory);
    }
  }

  get(key: string): unknown {
    return this.#database.get(key);
  }

  has(key: string): boolean {
    return this.#database.doesExist(key);
  }

  put(key: string, value: unknown): void {
    this.#checkWrite();
    this.#database.putSync(key, value);
  }

  remove(key: string): void {
    this.#checkWrite();
    this.#database.removeSync(key);
  }

  entries(bucket: Bucket): { key: string; value: unknown }[] {
    return Array.from(this.range(`${buckets[bucket]}\t`));
  }

  /** All entries whose key has the prefix, which ends with a tab; in order. Not to be changed while it is read. */
  range(prefix: string): Iterable<{ key: string; value: unknown }> {
    return this.#database.getRange({ start: prefix, end: rangeEnd(prefix) });
  }

  /** The keys alone. */
  keys(prefix: string, limit?: number): Iterable<string> {
    const options = { start: prefix, end: rangeEnd(prefix) };
    return this.#database.getKeys(limit === undefined ? options : { ...options, limit });
  }

  count(prefix: string): number {
    return this.#database.getKeysCount({ start: prefix, end: rangeEnd(prefix) });
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      await this.#database.close();
    }
  }

  #check(): void {
    if (this.#closed) {
      throw new UnpackError('ERR_INVALID_ARGUMENT', `${this.#directory}: the store is closed`);
    }
  }

  /** A write outside of a transaction would be one of its own. */
  #checkWrite(): void {
    if (!writing.has(this.#directory)) {
      throw new UnpackError('ERR_STORE_READ_ONLY', `${this.#directory}: a write outside of update`);
    }
  }

  #errorOf(error: unknown): unknown {
    const told = errorOf(error, this.#directory);
    if (!(told instanceof UnpackError) || told === error) {
      return told;
    }
    const code = (error as { code?: unknown }).code;
    if (this.#failed !== undefined && (code === panic || code === invalid)) {
      const { code: first, errno, message } = this.#failed;
      const text = `${message}; close the store and open it again`;
      return new UnpackError(first, text, { errno, path: this.#directory, cause: error });
    }
    this.#failed ??= told;
    return told;
  }
}

/** The first key after all those that have the prefix: a tab is followed by a line feed. */
function rangeEnd(prefix: string): string {
  return `${prefix.slice(0, -1)}\n`;
}

function synchronous<T>(result: T): T {
  if (typeof (result as { then?: unknown } | undefined | null)?.then === 'function') {
    throw new UnpackError('ERR_INTERNAL', 'a transaction must not be asynchronous');
  }
  return result;
}

/** Makes an UnpackError of an error of LMDB; all others, as the caller's own, pass. */
function errorOf(error: unknown, directory: string): unknown {
  if (!(error instanceof Error) || error instanceof UnpackError) {
    return error;
  }
  const { code, message } = error as { code?: unknown; message?: unknown };
  const text = `${directory}: ${String(message)}`;
  const details = { path: directory, cause: error };
  if (typeof code === 'number') {
    if (corruptCodes.has(code)) {
      return new UnpackError('ERR_STORE_CORRUPT', text, details);
    }
    if (code === readersFull) {
      return new UnpackError('ERR_STORE_BUSY', text, details);
    }
    const errno = errnoNames.get(code);
    if (errno !== undefined) {
      return UnpackError.fromSystem({ code: errno, syscall: 'lmdb' }, directory);
    }
    return new UnpackError('ERR_IO', text, details);
  }
  return error;
}

const errnoNames = new Map([
  [1, 'EPERM'],
  [2, 'ENOENT'],
  [5, 'EIO'],
  [12, 'ENOMEM'],
  [13, 'EACCES'],
  [22, 'EINVAL'],
  [24, 'EMFILE'],
  [27, 'EFBIG'],
  [28, 'ENOSPC'],
  [30, 'EROFS'],
  [122, 'EDQUOT'],
]);
