// The files of the LMDB environment before the package opens it. When its native open fails, for whatever reason, the
// package uses what it has freed (EnvWrap::openEnv of lmdb 3.5), which ends the process. So what can keep it
// from opening is looked for here, by the same calls on the same files, and told as an error.

import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { UnpackError } from '../errors.js';

/** Page header, then MDB_meta: magic and version of the data (mdb.c of lmdb-js). */
const magic = Buffer.from([0xde, 0xc0, 0xef, 0xbe, 2, 0, 0, 0]);
const magicAt = 24;
/** The two pages that the first opener writes. */
const headSize = 8192;
/** Bytes of a reader's slot in the lock file. */
const slotSize = 64;
/** Descriptors that LMDB has open at once. */
const descriptors = 4;

/**
 * Whether the data file is there and begins as one of LMDB's does. An empty file, or a piece of those pages, is one whose
 * maker ended before it had made it: LMDB begins it anew.
 *
 * @throws UnpackError `ERR_STORE_CORRUPT`; `ERR_PERMISSION`, `ERR_IO`
 */
export function checkDataFile(directory: string): boolean {
  const file = path.join(directory, 'data.mdb');
  let head: Buffer;
  try {
    const descriptor = openSync(file, 'r');
    try {
      head = readHead(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return false;
    }
    throw UnpackError.fromSystem(error, file);
  }
  if (isBegun(head)) {
    return false;
  }
  if (head.length < headSize || !head.subarray(magicAt, magicAt + magic.length).equals(magic)) {
    throw new UnpackError('ERR_STORE_CORRUPT', `${file}: is not a database of this package`, {
      path: file,
    });
  }
  return true;
}

/**
 * Fails where LMDB's open would: no room, no descriptors, no right. The write lock is held.
 *
 * @throws a system error
 */
export function prepareFiles(
  directory: string,
  options: { maxReaders: number; isNew: boolean; sync: boolean },
): void {
  prepareLockFile(path.join(directory, 'lock.mdb'), options.maxReaders);
  const open: number[] = [];
  try {
    for (let count = 0; count < descriptors; count++) {
      open.push(
        openSync(path.join(directory, 'data.mdb'), constants.O_RDWR | constants.O_CREAT, 0o664),
      );
    }
    const [descriptor = -1] = open;
    const head = readHead(descriptor);
    if (isBegun(head)) {
      ftruncateSync(descriptor, 0);
      writeAll(descriptor, Buffer.alloc(headSize - 1));
      ftruncateSync(descriptor, 0);
    }
    if (options.isNew && options.sync) {
      // LMDB syncs its files, but not their names.
      syncDirectory(directory);
      syncDirectory(path.dirname(directory));
    }
  } finally {
    for (const descriptor of open) {
      closeSync(descriptor);
    }
  }
}

/**
 * Makes the lock file with room for all readers: LMDB maps it, and a page that the disk has no room for would end the
 * process. One that is there is not opened: closing it would let go of the locks (fcntl(2)) that this process may
 * have on it.
 */
function prepareLockFile(file: string, maxReaders: number): void {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'wx', 0o664);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw error;
    }
    accessSync(file, constants.R_OK | constants.W_OK);
    return;
  }
  try {
    writeAll(descriptor, Buffer.alloc(slotSize * maxReaders));
  } finally {
    closeSync(descriptor);
  }
}

function readHead(descriptor: number): Buffer {
  const head = Buffer.alloc(headSize);
  let length = 0;
  while (length < headSize) {
    const read = readSync(descriptor, head, length, headSize - length, length);
    if (read === 0) {
      break;
    }
    length += read;
  }
  return head.subarray(0, length);
}

/** Whether it is nothing, or less than what the first opener writes: those pages, or the zeros of {@link prepareFiles}. */
function isBegun(head: Buffer): boolean {
  const begin = head.subarray(magicAt, magicAt + magic.length);
  return (
    head.length < headSize &&
    head.subarray(0, 8).every((byte) => byte === 0) && // the number of the page
    (begin.equals(magic.subarray(0, begin.length)) || head.every((byte) => byte === 0))
  );
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function writeAll(descriptor: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    at += writeSync(descriptor, bytes, at, bytes.length - at, at);
  }
}
