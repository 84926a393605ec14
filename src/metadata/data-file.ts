// The pages of LMDB's data file, read as a file and not through LMDB's mapping of it: a page beyond the end of a file that
// was cut off would end the process there, by SIGBUS. Layouts: mdb.c.

import { fstatSync, readSync } from 'node:fs';

/** Where a page has what, in bytes: the two forms of the data differ in that alone. */
export interface PageLayout {
  /** Of a page, before its nodes, and before MDB_meta. */
  header: number;
  flags: number;
  /** End of the pointers to its nodes; of an overflow page how many it is. */
  lower: number;
  /** PAGEBASE: from where the places of nodes, and the end of the pointers, are counted. */
  base: number;
  /** In MDB_meta's `mm_version`. */
  version: number;
}

/** LMDB 0.9. */
export const currentLayout: PageLayout = { header: 16, flags: 10, lower: 12, base: 0, version: 1 };

/** Of the LMDB that the package `lmdb` has made its own. */
export const earlierLayout: PageLayout = { header: 24, flags: 18, lower: 20, base: 24, version: 2 };

const isBranch = 1;
const isLeaf = 2;
/** MDB_meta, after the header of its page; the first of its two MDB_db, of free pages, has the size of pages. */
const meta = { psize: 24, roots: [64, 112], lastPage: 120, transaction: 128, size: 136 } as const;
const nodeSize = 8;
const isBig = 1;
const noPage = 2n ** 64n - 1n;

/** A node of a leaf: its key, and its value or the overflow page where that begins. */
interface LeafNode {
  key: Buffer;
  size: number;
  value: Buffer | bigint;
}

/** While nobody writes it. Damaged pages have no nodes. */
export class DataFile {
  readonly #descriptor: number;
  readonly #layout: PageLayout;
  readonly #size: number;
  readonly #meta: Buffer | undefined;
  readonly #pageSize: number;

  /** @param descriptor stays the caller's */
  constructor(descriptor: number, layout: PageLayout = currentLayout) {
    this.#descriptor = descriptor;
    this.#layout = layout;
    this.#size = fstatSync(descriptor).size;
    const first = this.#read(layout.header, meta.size);
    this.#pageSize = first?.readUInt32LE(meta.psize) ?? 0;
    const second = this.#read(this.#pageSize + layout.header, meta.size);
    if (first !== undefined && second !== undefined && this.#pageSize >= 256) {
      const transactionOf = (one: Buffer) => one.readBigUInt64LE(meta.transaction);
      this.#meta = transactionOf(second) > transactionOf(first) ? second : first;
    }
  }

  /** Bytes. */
  get size(): number {
    return this.#size;
  }

  /** Whether it has all pages that its trees lead to. It may be shorter than its last page, where that one is free. */
  isWhole(): boolean {
    if (this.#meta === undefined) {
      return false;
    }
    const pages = Number(this.#meta.readBigUInt64LE(meta.lastPage)) + 1;
    return this.#size >= pages * this.#pageSize || this.#hasAllPages();
  }

  /** The entries of the main tree, in order of the keys. @returns undefined where a page is not there */
  entries(): [key: Buffer, value: Buffer][] | undefined {
    const entries: [Buffer, Buffer][] = [];
    const visit = (nodes: LeafNode[]) =>
      nodes.every(({ key, size, value }) => {
        const bytes = typeof value === 'bigint' ? this.#overflow(value, size) : value;
        if (bytes !== undefined) {
          entries.push([key, bytes]);
        }
        return bytes !== undefined;
      });
    return this.#walk(this.#root(1), visit) ? entries : undefined;
  }

  #hasAllPages(): boolean {
    const visit = (nodes: LeafNode[]) =>
      nodes.every(({ value }) => typeof value !== 'bigint' || this.#hasOverflow(value));
    return this.#walk(this.#root(0), visit) && this.#walk(this.#root(1), visit);
  }

  #root(tree: 0 | 1): bigint {
    return this.#meta?.readBigUInt64LE(meta.roots[tree]) ?? noPage;
  }

  /** Calls `visit` for the leaves of a tree in order. @returns whether all pages are there and it was content */
  #walk(root: bigint, visit: (nodes: LeafNode[]) => boolean): boolean {
    const pending = root === noPage ? [] : [root];
    const seen = new Set(pending);
    for (let page = pending.pop(); page !== undefined; page = pending.pop()) {
      const bytes = this.#read(Number(page) * this.#pageSize, this.#pageSize);
      if (bytes === undefined) {
        return false;
      }
      const flags = bytes.readUInt16LE(this.#layout.flags);
      const nodes = this.#nodesOf(bytes);
      if (flags & isLeaf && !visit(nodes.map((at) => leafNode(bytes, at)).filter(isDefined))) {
        return false;
      }
      if (flags & isBranch) {
        const children = nodes.map((at) => BigInt(bytes.readUIntLE(at, 6)));
        for (const child of children.reverse().filter((one) => !seen.has(one))) {
          seen.add(child);
          pending.push(child);
        }
      }
    }
    return true;
  }

  #nodesOf(page: Buffer): number[] {
    const { header, lower, base } = this.#layout;
    const pointers = (page.readUInt16LE(lower) - (header - base)) >> 1;
    const nodes: number[] = [];
    for (let index = 0; index < pointers && header + 2 * index + 2 <= page.length; index++) {
      const at = base + page.readUInt16LE(header + 2 * index);
      if (at + nodeSize <= page.length) {
        nodes.push(at);
      }
    }
    return nodes;
  }

  #hasOverflow(from: bigint): boolean {
    const at = Number(from) * this.#pageSize;
    const pages = this.#read(at, this.#layout.header)?.readUInt32LE(this.#layout.lower);
    return pages !== undefined && at + pages * this.#pageSize <= this.#size;
  }

  #overflow(from: bigint, size: number): Buffer | undefined {
    return this.#read(Number(from) * this.#pageSize + this.#layout.header, size);
  }

  #read(at: number, length: number): Buffer | undefined {
    if (at + length > this.#size) {
      return undefined;
    }
    const bytes = Buffer.alloc(length);
    for (let done = 0; done < length; ) {
      const count = readSync(this.#descriptor, bytes, done, length - done, at + done); // may be short
      if (count === 0) {
        return undefined;
      }
      done += count;
    }
    return bytes;
  }
}

function leafNode(page: Buffer, at: number): LeafNode | undefined {
  const size = page.readUInt32LE(at);
  const keyEnd = at + nodeSize + page.readUInt16LE(at + 6);
  const isOverflow = (page.readUInt16LE(at + 4) & isBig) !== 0;
  if (keyEnd + (isOverflow ? 8 : size) > page.length) {
    return undefined;
  }
  const key = page.subarray(at + nodeSize, keyEnd);
  const value = isOverflow ? page.readBigUInt64LE(keyEnd) : page.subarray(keyEnd, keyEnd + size);
  return { key, size, value };
}

function isDefined<T>(value: T | undefined): value is T {
  return value !== undefined;
}
