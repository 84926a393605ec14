// Whether LMDB's data file has all pages that its trees lead to. It is read through a mapping: a page beyond the end of a
// file that was cut off (a copy that broke off, a damaged file system) would end the process by SIGBUS. A healthy file
// may be shorter than its last page too, where that one is free; only then the trees are walked. Layouts: mdb.c.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import { UnpackError } from '../errors.js';

const headerSize = 24; // MDB_page_header
const flagsAt = 18;
const lowerAt = 20;
const overflowPagesAt = 20;
const isBranch = 1;
const isLeaf = 2;
/** MDB_meta, after the header of its page; of its two MDB_db the size of pages is in the first. */
const meta = { psize: 24, roots: [64, 112], lastPage: 120, transaction: 128, size: 136 } as const;
const nodeSize = 8;
const isBig = 1;
const noPage = 2n ** 64n - 1n;

/**
 * Of a data file that begins as one of LMDB's does, while nobody writes it.
 *
 * @throws UnpackError `ERR_STORE_CORRUPT`; a system error
 */
export function checkExtent(directory: string): void {
  const file = path.join(directory, 'data.mdb');
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const read = (at: number, length: number) => {
      if (at + length > size) {
        return undefined;
      }
      const bytes = Buffer.alloc(length);
      for (let done = 0; done < length; ) {
        const count = readSync(descriptor, bytes, done, length - done, at + done); // may be short
        if (count === 0) {
          return undefined;
        }
        done += count;
      }
      return bytes;
    };
    if (!isWhole(size, read)) {
      throw new UnpackError('ERR_STORE_CORRUPT', `${file}: has been cut off at ${size} bytes`, {
        path: file,
      });
    }
  } finally {
    closeSync(descriptor);
  }
}

type Read = (at: number, length: number) => Buffer | undefined;

function isWhole(size: number, read: Read): boolean {
  const first = read(headerSize, meta.size);
  const pageSize = first?.readUInt32LE(meta.psize) ?? 0;
  const second = read(pageSize + headerSize, meta.size);
  if (first === undefined || second === undefined || pageSize < 256) {
    return false;
  }
  const transactionOf = (one: Buffer) => one.readBigUInt64LE(meta.transaction);
  const current = transactionOf(second) > transactionOf(first) ? second : first;
  if (size >= (Number(current.readBigUInt64LE(meta.lastPage)) + 1) * pageSize) {
    return true;
  }
  const pending = meta.roots
    .map((at) => current.readBigUInt64LE(at))
    .filter((root) => root !== noPage);
  const seen = new Set(pending);
  for (let page = pending.pop(); page !== undefined; page = pending.pop()) {
    const bytes = read(Number(page) * pageSize, pageSize);
    if (bytes === undefined) {
      return false;
    }
    const { children, ends } = pagesOf(bytes);
    if (ends.some((from) => !hasOverflow(from, size, pageSize, read))) {
      return false;
    }
    for (const child of children.filter((one) => !seen.has(one))) {
      seen.add(child);
      pending.push(child);
    }
  }
  return true;
}

/** The pages that one leads to: of a branch its children, of a leaf where long values begin. What is damaged has none. */
function pagesOf(page: Buffer): { children: bigint[]; ends: bigint[] } {
  const children: bigint[] = [];
  const ends: bigint[] = [];
  const flags = page.readUInt16LE(flagsAt);
  const count = page.readUInt16LE(lowerAt) >> 1;
  for (let index = 0; index < count && headerSize + 2 * index + 2 <= page.length; index++) {
    const node = headerSize + page.readUInt16LE(headerSize + 2 * index);
    if (node + nodeSize > page.length) {
      continue;
    }
    if (flags & isBranch) {
      children.push(BigInt(page.readUIntLE(node, 6)));
    } else if (flags & isLeaf && page.readUInt16LE(node + 4) & isBig) {
      const value = node + nodeSize + page.readUInt16LE(node + 6);
      if (value + 8 <= page.length) {
        ends.push(page.readBigUInt64LE(value));
      }
    }
  }
  return { children, ends };
}

function hasOverflow(from: bigint, size: number, pageSize: number, read: Read): boolean {
  const header = read(Number(from) * pageSize, headerSize);
  return (
    header !== undefined && (Number(from) + header.readUInt32LE(overflowPagesAt)) * pageSize <= size
  );
}
