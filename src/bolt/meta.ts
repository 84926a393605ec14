// The two meta pages of a bbolt file. Transactions write them in turns, so that one of them is whole at any time; of
// the valid ones the higher transaction holds. Layout: bbolt's internal/common/meta.go; little-endian, as on every
// machine that Node and containerd share, but s390x.

import { UnpackError } from '../errors.js';
import { damaged, readUint64 } from './damage.js';

/** Bytes of the header that every page has. */
export const pageHeaderSize = 16;
/** Bytes from the begin of a page that a meta needs. */
export const metaSize = pageHeaderSize + 64;
const checksumOffset = 56;
const magic = 0xed0cdaed;
const version = 2;
/** The page sizes that bbolt itself looks for. */
export const pageSizes: readonly number[] = Array.from({ length: 16 }, (_, i) => 1024 << i);

/** What a valid meta page says. */
export interface Meta {
  /** Bytes. */
  pageSize: number;
  /** Page of the root bucket. */
  root: number;
  /** No page has this number or a higher one. */
  highWater: number;
  transaction: bigint;
}

/** A meta page that cannot be used. */
export type MetaProblem = 'no magic' | 'other version' | 'wrong checksum';

/**
 * Reads the meta of a page.
 *
 * @param page begins at the page's header; {@link metaSize} bytes or more
 * @throws UnpackError `ERR_UNKNOWN_STORE_VERSION` for one that is whole, of another version of the format;
 *   `ERR_INVALID_STORE` for one that is whole and says what cannot be: the other would be an older state
 */
export function parseMeta(page: Buffer, file: string): Meta | MetaProblem {
  const meta = page.subarray(pageHeaderSize, metaSize);
  if (meta.length < metaSize - pageHeaderSize || meta.readUInt32LE(0) !== magic) {
    return 'no magic';
  }
  const isWhole =
    fnv1a64(meta.subarray(0, checksumOffset)) === meta.readBigUInt64LE(checksumOffset);
  const found = meta.readUInt32LE(4);
  if (found !== version) {
    if (isWhole) {
      throw unknownVersion(found, file);
    }
    return 'other version';
  }
  if (!isWhole) {
    return 'wrong checksum';
  }
  const pageSize = meta.readUInt32LE(8);
  const root = readUint64(meta, 16);
  const highWater = readUint64(meta, 40);
  if (
    !pageSizes.includes(pageSize) ||
    root === undefined ||
    highWater === undefined ||
    !Number.isSafeInteger(highWater * pageSize) ||
    root < 2 ||
    root >= highWater
  ) {
    throw damaged(file, 'a meta page of the database says what cannot be');
  }
  return { pageSize, root, highWater, transaction: meta.readBigUInt64LE(48) };
}

/**
 * The meta that holds.
 *
 * @param readPage the first {@link metaSize} bytes of what lies at an offset; shorter where the file ends
 * @throws UnpackError `ERR_INVALID_STORE`, `ERR_UNKNOWN_STORE_VERSION`
 */
export function chooseMeta(readPage: (offset: number) => Buffer, file: string): Meta {
  const first = parseMeta(readPage(0), file);
  const problems: MetaProblem[] = [];
  let best: Meta | undefined;
  if (typeof first === 'string') {
    problems.push(first);
  } else {
    best = first;
  }
  // Where the second lies the first says; without it, it is where it says of itself.
  for (const offset of best === undefined ? pageSizes : [best.pageSize]) {
    const second = parseMeta(readPage(offset), file);
    if (typeof second === 'string') {
      problems.push(second);
    } else if (second.pageSize !== offset) {
      throw damaged(file, 'the meta pages of the database are not where they say');
    } else if (best === undefined || second.transaction > best.transaction) {
      best = second;
    }
  }
  if (best !== undefined) {
    return best;
  }
  const worst = (['wrong checksum', 'other version'] as const).find((problem) =>
    problems.includes(problem),
  );
  throw damaged(
    file,
    worst === undefined
      ? 'is no bbolt database'
      : `both meta pages of the database are damaged (${worst})`,
  );
}

function unknownVersion(found: number, file: string): UnpackError {
  return new UnpackError(
    'ERR_UNKNOWN_STORE_VERSION',
    `${file}: is a bbolt database of version ${found}; ${version} is known here`,
    { path: file },
  );
}

/** FNV-1a with 64 bits (RFC 9923). */
export function fnv1a64(bytes: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash;
}
