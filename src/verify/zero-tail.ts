// How many zero bytes a file ends in: what was never written before the power went.

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

const blockSize = 64 * 1024;

/** The zero bytes at the end of a regular file; 0 where it cannot be read. */
export async function zeroTail(path: string | Buffer): Promise<number> {
  let handle: FileHandle | undefined;
  try {
    // It may have become anything meanwhile: a fifo would never open, a symlink lead elsewhere.
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = await handle.stat();
    return stats.isFile() ? await countZeros(handle, stats.size) : 0;
  } catch {
    return 0;
  } finally {
    await handle?.close();
  }
}

async function countZeros(handle: FileHandle, size: number): Promise<number> {
  const block = Buffer.alloc(blockSize);
  let zeros = 0;
  while (zeros < size) {
    const length = Math.min(blockSize, size - zeros);
    const { bytesRead } = await handle.read(block, 0, length, size - zeros - length);
    if (bytesRead < length) {
      return zeros;
    }
    for (let at = length - 1; at >= 0; at--) {
      if (block[at] !== 0) {
        return zeros + length - 1 - at;
      }
    }
    zeros += length;
  }
  return zeros;
}
