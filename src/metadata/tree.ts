// The LMDB tree: keys of text to JSON values, read and written in synchronous transactions. All that knows LMDB's part of
// the addon is here. Commits wait for the disk (LMDB's own way: data, fdatasync, then the page that makes it
// valid), so that a reader never sees what a power loss could take back.

import { UnpackError } from '../errors.js';
import {
  loadBinding,
  type MetadataColumns,
  type MetadataRange,
  type MetadataSession,
  makeDirectorySync,
} from '../native/index.js';
import { checkExtent } from './data-extent.js';
import { convertEarlierForm } from './earlier-form.js';
import { dataForm, prepareFiles } from './environment-files.js';
import { reserveRoom } from './room.js';
import { type Bucket, buckets, type RawStore } from './schema.js';
import { withWriteLock } from './write-lock.js';

/** How many processes and threads can read at once; LMDB fixes it when the first of them opens. */
const maxReaders = 1024;

export interface TreeOptions {
  readOnly: boolean;
  /** False: commits do not wait for the disk, and a power loss can destroy the tree. */
  sync: boolean;
}

/** An entry of a range: its key without the range's prefix, and its value. */
export type Entry = readonly [rest: string, value: unknown];

/** Texts of a line for each entry, and none for no entry. */
export interface Columns {
  /** The keys without the range's prefix. */
  keys: string;
  /** Of each of the fields that were asked for. */
  fields: string[];
}

/** Trees that are in a write transaction now, by directory: a second one in this thread would wait for ever. */
const writing = new Set<string>();

export class Tree implements RawStore {
  readonly #binding = loadBinding();
  readonly #session: MetadataSession;
  readonly #directory: string;
  readonly readOnly: boolean;
  #closed = false;
  /** How many views are in each other now: the inner ones see what the outermost sees. */
  #views = 0;
  #updating = false;

  constructor(directory: string, options: TreeOptions) {
    this.#directory = directory;
    this.readOnly = options.readOnly;
    if (options.readOnly) {
      checkReadable(directory);
    }
    try {
      if (!options.readOnly) {
        makeDirectorySync(directory, 0o700);
      }
      const opening = () => {
        const form = dataForm(directory);
        if (form === 'earlier') {
          convertEarlierForm(directory);
        }
        if (!options.readOnly) {
          const isNew = form === undefined;
          prepareFiles(directory, { maxReaders, isNew, sync: options.sync });
        }
        if (form !== undefined) {
          checkExtent(directory);
        }
        return this.#binding.openMetadata({ directory, maxReaders, ...options });
      };
      // In a write transaction it is locked already.
      this.#session = writing.has(directory) ? opening() : withWriteLock(directory, opening);
    } catch (error) {
      throw UnpackError.fromSystem(error, directory);
    }
  }

  /** Runs `work` on one state of the tree: what others commit meanwhile is not seen. */
  view<T>(work: () => T): T {
    this.#check();
    if (this.#views > 0 || this.#updating) {
      return synchronous(work());
    }
    this.#call(() => this.#binding.beginRead(this.#session));
    this.#views++;
    try {
      return synchronous(work());
    } finally {
      this.#views--;
      this.#binding.endRead(this.#session);
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
      return withWriteLock(this.#directory, () => {
        reserveRoom(this.#directory);
        return this.#transact(work);
      });
    } finally {
      writing.delete(this.#directory);
    }
  }

  #transact<T>(work: () => T): T {
    this.#call(() => this.#binding.beginWrite(this.#session));
    this.#updating = true;
    try {
      const result = synchronous(work());
      this.#call(() => this.#binding.commitWrite(this.#session));
      return result;
    } finally {
      this.#updating = false;
      this.#binding.abortWrite(this.#session);
    }
  }

  get(key: string): unknown {
    const value = this.#value(key);
    return value === undefined ? undefined : this.#parse(value, key);
  }

  has(key: string): boolean {
    return this.#value(key) !== undefined;
  }

  put(key: string, value: unknown): void {
    this.#checkWrite();
    this.#call(() => this.#binding.putValue(this.#session, key, JSON.stringify(value)));
  }

  remove(key: string): void {
    this.#checkWrite();
    this.#call(() => this.#binding.removeValue(this.#session, key));
  }

  entries(bucket: Bucket): { key: string; value: unknown }[] {
    const prefix = `${buckets[bucket]}\t`;
    return Array.from(this.range(prefix), ([rest, value]) => ({ key: prefix + rest, value }));
  }

  /** All entries whose key has the prefix, which ends with a tab; in order. */
  *range(prefix: string): Iterable<Entry> {
    let after: string | undefined = '';
    while (after !== undefined) {
      const page: { entries: Entry[]; more: boolean } = this.#page({ prefix, after, limit: 0 });
      yield* page.entries;
      after = page.more ? page.entries.at(-1)?.[0] : undefined;
    }
  }

  /** The keys alone, each without the prefix. */
  *keys(prefix: string, limit = 0): Iterable<string> {
    for (const { keys } of this.#columns(prefix, [], limit)) {
      yield* keys.split('\n');
    }
  }

  /**
   * Of entries whose values are arrays the keys and some elements, by columns: numbers, and strings without escapes. For
   * long lists: nothing is made for an entry alone, which takes a fifth of the time of {@link range}.
   *
   * @param fields of the elements, ascending
   * @throws UnpackError `ERR_STORE_CORRUPT` for a value without such an element
   */
  columns(prefix: string, fields: readonly number[]): Columns {
    const pages = Array.from(this.#columns(prefix, fields, 0));
    return {
      keys: pages.map(({ keys }) => keys).join('\n'),
      fields: fields.map((_, at) => pages.map(({ columns }) => columns[at]).join('\n')),
    };
  }

  count(prefix: string): number {
    return this.#call(() => this.#binding.countKeys(this.#session, prefix));
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      if (this.#views > 0 || this.#updating) {
        throw new UnpackError('ERR_INVALID_ARGUMENT', `${this.#directory}: is in a transaction`);
      }
      this.#closed = true;
      this.#binding.closeMetadata(this.#session);
    }
  }

  #value(key: string): string | undefined {
    return this.#call(() => this.#binding.getValue(this.#session, key));
  }

  /** Pages with entries. */
  *#columns(prefix: string, columns: readonly number[], limit: number): Iterable<MetadataColumns> {
    let after: string | undefined = '';
    while (after !== undefined) {
      const range = { prefix, after, limit, columns };
      const page: MetadataColumns = this.#call(() =>
        this.#binding.readColumns(this.#session, range),
      );
      if (page.count > 0) {
        yield page;
      }
      after = page.more ? page.keys.slice(page.keys.lastIndexOf('\n') + 1) : undefined;
    }
  }

  #page<T>(range: MetadataRange): T {
    const text = this.#call(() => this.#binding.readPage(this.#session, range));
    return this.#parse(text, range.prefix) as T;
  }

  #parse(text: string, key: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      const problem = `${this.#directory}: what is stored at ${JSON.stringify(key)} is damaged`;
      throw new UnpackError('ERR_STORE_CORRUPT', problem, { path: this.#directory, cause: error });
    }
  }

  #call<T>(native: () => T): T {
    try {
      return native();
    } catch (error) {
      throw UnpackError.from(error);
    }
  }

  #check(): void {
    if (this.#closed) {
      throw new UnpackError('ERR_INVALID_ARGUMENT', `${this.#directory}: the store is closed`);
    }
  }

  /** A write belongs into {@link Tree.update}. */
  #checkWrite(): void {
    if (!this.#updating) {
      throw new UnpackError('ERR_STORE_READ_ONLY', `${this.#directory}: a write outside of update`);
    }
  }
}

/** @throws UnpackError where what is there cannot be opened for reading alone */
function checkReadable(directory: string): void {
  const form = dataForm(directory);
  const details = { path: directory };
  if (form === undefined) {
    throw new UnpackError('ERR_NOT_FOUND', `${directory}: there is no store`, details);
  }
  if (form === 'earlier') {
    const problem = 'is of before the first release; it must be opened for writing once';
    throw new UnpackError('ERR_STORE_VERSION', `${directory}: ${problem}`, details);
  }
}

function synchronous<T>(result: T): T {
  if (typeof (result as { then?: unknown } | undefined | null)?.then === 'function') {
    throw new UnpackError('ERR_INTERNAL', 'a transaction must not be asynchronous');
  }
  return result;
}
