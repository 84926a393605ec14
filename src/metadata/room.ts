// Room on the disk for a transaction, before LMDB writes it: a full disk is told while nothing has been changed, and what
// was reserved while there was room lets things be removed from a full disk.

import { closeSync, openSync, statSync } from 'node:fs';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { loadBinding } from '../native/index.js';

/** Of each block of `st_blocks` (stat(2)). */
const blockSize = 512;
/** Bytes that are reserved: a thousand pages; what a transaction changes is some dozens. */
const wanted = 4 << 20;
/** Bytes that suffice where there are no more. Removing things from a full disk lives on what was reserved before. */
const needed = 256 << 10;

/**
 * Reserves room for what a transaction writes. The write lock is held.
 *
 * @throws UnpackError `ERR_NO_SPACE`; `ERR_IO`, `ERR_PERMISSION`
 */
export function reserveRoom(directory: string): void {
  const file = path.join(directory, 'data.mdb');
  try {
    const { size, blocks } = statSync(file);
    const reserved = blocks * blockSize - size;
    if (reserved >= wanted / 2) {
      return;
    }
    const descriptor = openSync(file, 'r+');
    try {
      reserve(descriptor, size, reserved);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw UnpackError.fromSystem(error, file);
  }
}

function reserve(descriptor: number, size: number, reserved: number): void {
  const { reserveSpace } = loadBinding();
  try {
    reserveSpace(descriptor, size + wanted);
  } catch {
    if (reserved < needed) {
      reserveSpace(descriptor, size + needed);
    }
  }
}
