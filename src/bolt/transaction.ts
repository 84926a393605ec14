// One state of the database: its pages as one meta page says. Every page has exactly one place from where it is
// reached; one that is reached from another too is damage. So cycles end, and nothing is read twice.

import { UnpackError } from '../errors.js';
import { BoltBucket } from './bucket.js';
import { damaged } from './damage.js';
import { type Meta, pageHeaderSize } from './meta.js';
import { Page, readPageHeader } from './page.js';

/** The bytes of the file. */
export interface BoltBytes {
  /** Bytes that there are. */
  readonly size: number;
  /** `length` bytes from `offset` on, all of them below `size`. */
  read(offset: number, length: number): Buffer;
}

/** What is read within one {@link BoltFile.view}; its buckets are of no use afterwards. */
export class BoltTransaction {
  readonly file: string;
  readonly #bytes: BoltBytes;
  readonly #meta: Meta;
  readonly #maxBytes: number;
  readonly #pages = new Map<number, { page: Page; from: string }>();
  #bytesRead = 0;

  /** @param maxBytes how much of the file may be read and kept in memory */
  constructor(file: string, bytes: BoltBytes, meta: Meta, maxBytes: number) {
    this.file = file;
    this.#bytes = bytes;
    this.#meta = meta;
    this.#maxBytes = maxBytes;
  }

  /** The number of the transaction that wrote this state. */
  get id(): bigint {
    return this.#meta.transaction;
  }

  /** The bucket that holds all others. */
  get root(): BoltBucket {
    return BoltBucket.root(this, this.#meta.root);
  }

  /**
   * A page.
   *
   * @param from the place that names it
   * @throws UnpackError `ERR_INVALID_STORE`, `ERR_LIMIT_EXCEEDED`, `ERR_IO`
   */
  page(id: number | undefined, from: string): Page {
    const known = id === undefined ? undefined : this.#pages.get(id);
    if (known !== undefined) {
      if (known.from !== from) {
        throw damaged(this.file, `page ${id} is used twice, by ${known.from} and by ${from}`);
      }
      return known.page;
    }
    const name = `page ${id ?? 'beyond any file'}`;
    const bytes = this.#read(id ?? Number.POSITIVE_INFINITY, name, from);
    const page = new Page(bytes, this.file, name);
    this.#pages.set(id as number, { page, from });
    return page;
  }

  #read(id: number, name: string, from: string): Buffer {
    const { pageSize, highWater } = this.#meta;
    const fail = (problem: string) => damaged(this.file, `${name} (of ${from}) ${problem}`);
    if (id < 2 || id >= highWater) {
      throw fail(`is none of this database's ${highWater}`);
    }
    const offset = id * pageSize;
    if (offset + pageSize > this.#bytes.size) {
      throw fail(`is missing: the file has ${this.#bytes.size} bytes`);
    }
    const first = this.#bytes.read(offset, pageSize);
    const header = readPageHeader(first.subarray(0, pageHeaderSize));
    if (header.id !== id) {
      throw fail(`says that it is page ${header.id ?? 'beyond any file'}`);
    }
    const length = (header.overflow + 1) * pageSize;
    if (id + header.overflow >= highWater || offset + length > this.#bytes.size) {
      throw fail(`leaves the file with its ${header.overflow} overflow pages`);
    }
    this.#bytesRead += length;
    if (this.#bytesRead > highWater * pageSize) {
      throw fail('overlaps others');
    }
    if (this.#bytesRead > this.#maxBytes) {
      throw new UnpackError(
        'ERR_LIMIT_EXCEEDED',
        `${this.file}: more than ${this.#maxBytes} bytes of the database would have to be read`,
        { path: this.file },
      );
    }
    return header.overflow === 0 ? first : this.#bytes.read(offset, length);
  }
}
