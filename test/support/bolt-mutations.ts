// Damage done to bbolt databases at random, most of it where their structure is.

import type { BoltBucket } from '../../src/bolt/index.js';
import { chooseMeta } from '../../src/bolt/meta.js';
import { BoltTransaction } from '../../src/bolt/transaction.js';
import { sealMeta } from './bolt-builder.js';
import type { Random } from './random.js';

const pageSize = 4096;

/** All that a bucket holds. */
export function dump(bucket: BoltBucket): unknown[] {
  return Array.from(bucket.entries(), ({ key, value, bucket: below }) => [
    key.toString('latin1'),
    below === undefined ? value?.toString('latin1') : dump(below),
  ]);
}

/** The numbers of the pages that are read, with their overflow. */
export function usedPages(bytes: Buffer): Set<number> {
  const pages = new Set<number>();
  const read = (offset: number, length: number) => {
    for (let at = offset; at < offset + length; at += pageSize) {
      pages.add(at / pageSize);
    }
    return bytes.subarray(offset, offset + length);
  };
  const meta = chooseMeta((offset) => bytes.subarray(offset, offset + 80), 'original');
  if (meta.pageSize !== pageSize) {
    throw new Error(`pages of ${meta.pageSize} bytes`);
  }
  dump(new BoltTransaction('original', { size: bytes.length, read }, meta, 2 ** 30).root);
  return pages;
}

const numbers = [0, 1, 2, 15, 16, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/** A damaged copy, and the pages that differ. */
export function mutate(
  original: Buffer,
  random: Random,
  used: ReadonlySet<number>,
): { bytes: Buffer; touched: number[] } {
  let bytes = Buffer.from(original);
  const pages = bytes.length / pageSize;
  const [inUse, all] = [[...used], pages];
  for (let i = random.pick([1, 1, 1, 2, 5, 20]); i > 0; i--) {
    const page = random.chance(0.8) ? random.pick(inUse) : random.below(all);
    const at = page * pageSize;
    if (at + pageSize > bytes.length) {
      continue;
    }
    // Most of the page's table and the first bytes behind it: that is where the structure is.
    const near = at + random.below(random.pick([16, 16, 64, 256, pageSize]));
    switch (random.below(8)) {
      case 0:
      case 1:
        bytes[near] = (bytes[near] ?? 0) ^ (1 << random.below(8));
        break;
      case 2:
        bytes[near] = random.below(256);
        break;
      case 3:
        bytes.writeUInt32LE(random.pick(numbers), Math.min(near & ~3, bytes.length - 4));
        break;
      case 4: {
        // A number that could be right: a page's, a length, a count.
        const width = random.pick([2, 4]);
        bytes.writeUIntLE(
          random.below(pages * 2),
          Math.min(near & ~1, bytes.length - width),
          width,
        );
        break;
      }
      case 5:
        original.copy(
          bytes,
          at,
          random.pick(inUse) * pageSize,
          (random.pick(inUse) + 1) * pageSize,
        );
        break;
      case 6:
        bytes.fill(random.pick([0, 0xff]), near, Math.min(near + random.below(64), at + pageSize));
        break;
      default: {
        // A meta page that is valid, but says something else.
        const meta = random.below(2) * pageSize;
        const field = meta + 16 + random.pick([4, 8, 16, 24, 32, 40, 48]);
        bytes.writeUInt32LE(random.pick([...numbers, ...inUse, pages]), field);
        if (random.chance(0.9)) {
          sealMeta(bytes.subarray(meta, meta + pageSize));
        }
      }
    }
  }
  if (random.chance(0.05)) {
    bytes = bytes.subarray(0, random.below(bytes.length));
  }
  const touched: number[] = [];
  for (let page = 0; page < pages; page++) {
    const [from, to] = [page * pageSize, (page + 1) * pageSize];
    if (!original.subarray(from, to).equals(bytes.subarray(from, to))) {
      touched.push(page);
    }
  }
  return { bytes, touched };
}
