// Whether the disk has room for an image, asked before anything is written. Where the exact size is not in the blob,
// the guess is a low one: what it lets through by mistake the disk itself refuses, and is cleaned up then.

import { open, statfs } from 'node:fs/promises';
import { UnpackError } from '../errors.js';
import { detectCompression, longestMagic } from './compression.js';
import type { BlobLocation } from './source.js';

/** An amount of disk. */
export interface Space {
  /** Bytes. */
  bytes: number;
  inodes: number;
}

/** Uncompressed to compressed bytes of a layer that does not say its size; real ones have 2 to 4. */
const guessedRatio = 2;
/** No gzip is denser (zlib's own bound). */
const highestRatio = 1032;
/** Bytes of tar per inode; images of programs have about 20,000. */
const bytesPerInode = 65_536;
const headLength = 18;

/** What a layer takes when it is unpacked. */
export async function layerSpace(blob: BlobLocation): Promise<Space> {
  return spaceOf(await uncompressedSize(blob));
}

/** A low guess of what a layer takes whose blob, of so many bytes, is not there yet. */
export function guessedSpace(blobBytes: number): Space {
  return spaceOf(blobBytes * guessedRatio);
}

function spaceOf(bytes: number): Space {
  return { bytes, inodes: 4 + Math.ceil(bytes / bytesPerInode) };
}

/** Bytes of the tar: as the blob says, or a low guess. */
export async function uncompressedSize({ path, offset, length }: BlobLocation): Promise<number> {
  if (length < headLength) {
    return 0;
  }
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw UnpackError.fromSystem(error, path);
  });
  try {
    const head = Buffer.alloc(headLength);
    await handle.read(head, 0, headLength, offset);
    const guess = length * guessedRatio;
    switch (detectCompression(head.subarray(0, longestMagic))) {
      case 'gzip': {
        // ISIZE (RFC 1952): of the last member alone, and modulo 2^32.
        const tail = Buffer.alloc(4);
        await handle.read(tail, 0, 4, offset + length - 4);
        const size = tail.readUInt32LE(0);
        return size >= length && size <= length * highestRatio ? size : guess;
      }
      case 'zstd': {
        const size = zstdContentSize(head);
        return size !== undefined && size >= length ? size : guess;
      }
      case 'none':
        return length;
      default:
        return guess;
    }
  } finally {
    await handle.close();
  }
}

/** Frame_Content_Size of the first frame (RFC 8878 section 3.1.1.1), where it has one. */
function zstdContentSize(head: Buffer): number | undefined {
  if (head.readUInt32LE(0) !== 0xfd2fb528) {
    return undefined; // a skippable frame
  }
  const descriptor = head[4] ?? 0;
  const single = (descriptor & 0x20) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const at = 5 + (single ? 0 : 1) + dictionary;
  switch (descriptor >> 6) {
    case 0:
      return single ? head[at] : undefined;
    case 1:
      return head.readUInt16LE(at) + 256;
    case 2:
      return head.readUInt32LE(at);
    default: {
      const size = head.readBigUInt64LE(at);
      return size <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(size) : undefined;
    }
  }
}

/**
 * Whether the file system of `directory` has that much.
 *
 * @throws UnpackError `ERR_NO_SPACE` with both numbers
 */
export async function checkSpace(directory: string, needed: Space): Promise<void> {
  const { bsize, blocks, bavail, bfree, files, ffree } = await statfs(directory).catch(
    (error: unknown) => {
      throw UnpackError.fromSystem(error, directory);
    },
  );
  // Some blocks are for root alone; a file system without a count of blocks (ramfs) or inodes makes them as needed.
  const available: Space = {
    bytes:
      blocks === 0 ? Number.MAX_SAFE_INTEGER : bsize * (process.geteuid?.() === 0 ? bfree : bavail),
    inodes: files === 0 ? Number.MAX_SAFE_INTEGER : ffree,
  };
  for (const what of ['bytes', 'inodes'] as const) {
    if (needed[what] > available[what]) {
      throw new UnpackError(
        'ERR_NO_SPACE',
        `${directory}: needs about ${needed[what]} ${what}, ${available[what]} are free`,
        { path: directory, needed, available },
      );
    }
  }
}
