// The files of the LMDB environment before it is opened: what they are, what a maker that was killed has left, and room for
// the lock file, which LMDB maps.

import { accessSync, closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { syncDirectory } from '../sync-directory.js';
import { currentLayout, earlierLayout, type PageLayout } from './data-file.js';

/** The form of the data: LMDB's own, or what it was before the first release (earlier-form.ts). */
export type DataForm = 'current' | 'earlier';

const layouts: readonly [DataForm, PageLayout][] = [
  ['current', currentLayout],
  ['earlier', earlierLayout],
];
/** The two pages that the first opener writes. */
const headSize = 8192;
/** Bytes of a reader's slot in the lock file. */
const slotSize = 64;

/**
 * The form of the data file, by how it begins; undefined for none. An empty file, or a piece of the pages that it begins
 * with, is one whose maker ended before it had made it: LMDB begins it anew.
 *
 * @throws UnpackError `ERR_STORE_CORRUPT`; `ERR_PERMISSION`, `ERR_IO`
 */
export function dataForm(directory: string): DataForm | undefined {
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
      return undefined;
    }
    throw UnpackError.fromSystem(error, file);
  }
  if (isBegun(head)) {
    return undefined;
  }
  const form = layouts.find(([, layout]) => magicIn(head, layout).equals(magicOf(layout)));
  if (head.length < headSize || form === undefined) {
    throw new UnpackError('ERR_STORE_CORRUPT', `${file}: is not a database of this package`, {
      path: file,
    });
  }
  return form[0];
}

/** Of MDB_meta, which follows the header of its page: MDB_MAGIC and the version of the data. */
function magicOf({ version }: PageLayout): Buffer {
  return Buffer.from([0xde, 0xc0, 0xef, 0xbe, version, 0, 0, 0]);
}

/** What a file that begins with `head` has in its place, as far as it goes. */
function magicIn(head: Buffer, { header }: PageLayout): Buffer {
  return head.subarray(header, header + 8);
}

/**
 * Makes them such that LMDB can open them. The write lock is held.
 *
 * @throws a system error
 */
export function prepareFiles(
  directory: string,
  options: { maxReaders: number; isNew: boolean; sync: boolean },
): void {
  prepareLockFile(path.join(directory, 'lock.mdb'), options.maxReaders);
  if (!options.isNew) {
    return;
  }
  // LMDB begins an empty file, and refuses a piece of the pages that it begins with.
  closeSync(openSync(path.join(directory, 'data.mdb'), 'w', 0o664));
  if (options.sync) {
    // LMDB syncs its files, but not their names.
    syncDirectory(directory);
    syncDirectory(path.dirname(directory));
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

/** Whether it is nothing, or less than the pages that the first opener writes: a part of them, or zeros. */
function isBegun(head: Buffer): boolean {
  const isBeginOf = (layout: PageLayout) => {
    const begin = magicIn(head, layout);
    return begin.equals(magicOf(layout).subarray(0, begin.length));
  };
  return (
    head.length < headSize &&
    head.subarray(0, 8).every((byte) => byte === 0) && // the number of the page
    (layouts.some(([, layout]) => isBeginOf(layout)) || head.every((byte) => byte === 0))
  );
}

function writeAll(descriptor: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    at += writeSync(descriptor, bytes, at, bytes.length - at, at);
  }
}
