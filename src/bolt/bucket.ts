// A bucket: a tree of pages that maps keys to values and to other buckets. A small one without buckets of its own lies
// inline, as one page within the value that names it. Layout: bbolt's internal/common/bucket.go.

import { damaged, readUint64 } from './damage.js';
import { Page } from './page.js';
import type { BoltTransaction } from './transaction.js';

const headerSize = 16;
/** Branches above each other: with two children each, 64 are more than any file has. */
const maxDepth = 64;

/** What a bucket has under one key: a value or a bucket. */
export interface BoltEntry {
  key: Buffer;
  value?: Buffer;
  bucket?: BoltBucket;
}

/** Where an element lies. */
interface Place {
  page: Page;
  index: number;
  name: string;
}

/** A bucket of an open transaction. */
export class BoltBucket {
  readonly #transaction: BoltTransaction;
  /** The place that names the root page. */
  readonly #name: string;
  readonly #rootID: number | undefined;
  #inline: Page | undefined;

  private constructor(
    transaction: BoltTransaction,
    name: string,
    rootID: number | undefined,
    inline?: Page,
  ) {
    this.#transaction = transaction;
    this.#name = name;
    this.#rootID = rootID;
    this.#inline = inline;
  }

  /** The bucket of a page. */
  static root(transaction: BoltTransaction, page: number): BoltBucket {
    return new BoltBucket(transaction, 'the meta page', page);
  }

  /** What there is under a key. */
  entry(key: string | Buffer): BoltEntry | undefined {
    const place = this.#find(key);
    return place && this.#entryAt(place);
  }

  /** The value under a key; undefined where there is none, or a bucket. */
  get(key: string | Buffer): Buffer | undefined {
    return this.entry(key)?.value;
  }

  /** The bucket under a key; undefined where there is none, or a value. */
  bucket(key: string | Buffer): BoltBucket | undefined {
    return this.entry(key)?.bucket;
  }

  /** The bucket at the end of a path of keys. */
  at(...keys: (string | Buffer)[]): BoltBucket | undefined {
    let bucket: BoltBucket | undefined = this;
    for (const key of keys) {
      bucket = bucket?.bucket(key);
    }
    return bucket;
  }

  /** All entries, their keys ascending by bytes. */
  *entries(): Generator<BoltEntry> {
    let previous: Buffer | undefined;
    for (const place of this.#places(this.#root(), this.#rootName(), 0)) {
      const { page, index, name } = place;
      const key = page.key(index);
      if (previous !== undefined && Buffer.compare(previous, key) >= 0) {
        throw damaged(this.#transaction.file, `${name}: is out of order`);
      }
      previous = key;
      yield this.#entryAt(place);
    }
  }

  #entryAt(place: Place): BoltEntry {
    const { page, index } = place;
    const key = page.key(index);
    return page.isBucket(index)
      ? { key, bucket: this.#open(place) }
      : { key, value: page.value(index) };
  }

  *#places(page: Page, name: string, depth: number): Generator<Place> {
    for (let index = 0; index < page.count; index++) {
      const place = `${name}, element ${index}`;
      if (page.isLeaf) {
        yield { page, index, name: place };
      } else {
        yield* this.#places(
          this.#child(page, index, place, depth),
          `page ${page.child(index)}`,
          depth + 1,
        );
      }
    }
  }

  #find(text: string | Buffer): Place | undefined {
    const key = typeof text === 'string' ? Buffer.from(text) : text;
    let page = this.#root();
    let name = this.#rootName();
    for (let depth = 0; !page.isLeaf; depth++) {
      // A key before the first can only be below the first.
      const index = Math.max(page.lastUpTo(key), 0);
      const place = `${name}, element ${index}`;
      name = `page ${page.child(index)}`;
      page = this.#child(page, index, place, depth);
    }
    const index = page.lastUpTo(key);
    return index >= 0 && page.key(index).equals(key)
      ? { page, index, name: `${name}, element ${index}` }
      : undefined;
  }

  #child(page: Page, index: number, place: string, depth: number): Page {
    if (depth >= maxDepth) {
      throw damaged(this.#transaction.file, `${place}: lies below more than ${maxDepth} branches`);
    }
    const child = this.#transaction.page(page.child(index), place);
    const isBelow = (key: Buffer, end: Buffer) => Buffer.compare(key, end) < 0;
    if (
      child.count > 0 &&
      (isBelow(child.key(0), page.key(index)) ||
        (index + 1 < page.count && !isBelow(child.key(child.count - 1), page.key(index + 1))))
    ) {
      throw damaged(this.#transaction.file, `${place}: leads to a page with other keys`);
    }
    return child;
  }

  #root(): Page {
    return this.#inline ?? this.#transaction.page(this.#rootID, this.#name);
  }

  #rootName(): string {
    return this.#inline === undefined ? `page ${this.#rootID}` : this.#name;
  }

  /** The bucket that a value holds: number of its root page, sequence; for number 0 the page itself follows. */
  #open({ page, index, name }: Place): BoltBucket {
    const { file } = this.#transaction;
    const value = page.value(index);
    if (value.length < headerSize) {
      throw damaged(file, `${name}: is too short for a bucket`);
    }
    const rootID = readUint64(value, 0);
    if (rootID !== 0) {
      return new BoltBucket(this.#transaction, name, rootID);
    }
    const inline = new Page(value.subarray(headerSize), file, name);
    if (!inline.isLeaf || headerSize + inline.end !== value.length) {
      throw damaged(file, `${name}: is no inline bucket`);
    }
    return new BoltBucket(this.#transaction, name, undefined, inline);
  }
}
