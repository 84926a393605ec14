// Branch and leaf pages: a header, a table of elements, then keys and values. A page is checked as a whole when it is
// read, so that whoever uses it needs no check of its own. Layout: bbolt's internal/common/page.go.

import { damaged, readUint64 } from './damage.js';
import { pageHeaderSize } from './meta.js';

const elementSize = 16;
const branchFlag = 0x01;
const leafFlag = 0x02;
const bucketFlag = 0x01;

/** The header of a page. */
export interface PageHeader {
  id: number | undefined;
  flags: number;
  count: number;
  /** Pages that belong to it beyond the first. */
  overflow: number;
}

/** Reads the 16 bytes that every page begins with. */
export function readPageHeader(bytes: Buffer): PageHeader {
  return {
    id: readUint64(bytes, 0),
    flags: bytes.readUInt16LE(8),
    count: bytes.readUInt16LE(10),
    overflow: bytes.readUInt32LE(12),
  };
}

/** A checked page. Keys ascend. */
export class Page {
  readonly isLeaf: boolean;
  readonly count: number;
  /** Where the last value ends, in bytes from the page's begin. */
  readonly end: number;
  readonly #bytes: Buffer;

  /**
   * @param bytes the page with its overflow, or an inline bucket's page
   * @param name of the page, for messages
   * @throws UnpackError `ERR_INVALID_STORE`
   */
  constructor(bytes: Buffer, file: string, name: string) {
    const fail = (problem: string): never => {
      throw damaged(file, `${name}: ${problem}`);
    };
    if (bytes.length < pageHeaderSize) {
      fail('is shorter than its header');
    }
    const { flags, count } = readPageHeader(bytes);
    if (flags !== branchFlag && flags !== leafFlag) {
      fail(`is neither branch nor leaf (flags ${flags})`);
    }
    this.isLeaf = flags === leafFlag;
    this.count = count;
    this.#bytes = bytes;
    if (count === 0 && !this.isLeaf) {
      fail('is a branch without children');
    }
    if (pageHeaderSize + count * elementSize > bytes.length) {
      fail(`has no room for its ${count} elements`);
    }
    // Keys and values follow the table without a gap, in the order of their elements: no two share bytes, and a
    // wrong count or length is noticed.
    let end = pageHeaderSize + count * elementSize;
    let previous: Buffer | undefined;
    for (let index = 0; index < count; index++) {
      const start = this.#start(index);
      const length = this.#keyLength(index) + this.#valueLength(index);
      if (start !== end || start + length > bytes.length) {
        fail(`element ${index} of ${count} is not where it must be`);
      }
      end = start + length;
      if (this.isLeaf && bytes.readUInt32LE(this.#element(index)) > bucketFlag) {
        fail(`element ${index} of ${count} is of an unknown kind`);
      }
      const key = this.key(index);
      if (previous !== undefined && Buffer.compare(previous, key) >= 0) {
        fail(`element ${index} of ${count} is out of order`);
      }
      previous = key;
    }
    this.end = end;
  }

  key(index: number): Buffer {
    const start = this.#start(index);
    return this.#bytes.subarray(start, start + this.#keyLength(index));
  }

  /** Of a leaf. */
  value(index: number): Buffer {
    const start = this.#start(index) + this.#keyLength(index);
    return this.#bytes.subarray(start, start + this.#valueLength(index));
  }

  /** Of a leaf: whether the value is a bucket. */
  isBucket(index: number): boolean {
    return this.#bytes.readUInt32LE(this.#element(index)) === bucketFlag;
  }

  /** Of a branch: the page below; undefined where the number is beyond any file. */
  child(index: number): number | undefined {
    return readUint64(this.#bytes, this.#element(index) + 8);
  }

  /** The last element whose key is `key` or before it; -1 when all are after it. */
  lastUpTo(key: Buffer): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (Buffer.compare(this.key(middle), key) <= 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low - 1;
  }

  #element(index: number): number {
    return pageHeaderSize + index * elementSize;
  }

  // A leaf's element: flags, position, key length, value length. A branch's: position, key length, child.
  #field(index: number, leaf: number, branch: number): number {
    return this.#bytes.readUInt32LE(this.#element(index) + (this.isLeaf ? leaf : branch));
  }

  #start(index: number): number {
    return this.#element(index) + this.#field(index, 4, 0);
  }

  #keyLength(index: number): number {
    return this.#field(index, 8, 4);
  }

  #valueLength(index: number): number {
    return this.isLeaf ? this.#field(index, 12, 0) : 0;
  }
}
