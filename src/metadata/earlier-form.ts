// A store whose data has the form that it had before the first release, which was that of another LMDB: the same trees, in
// pages with a longer header. It is written anew when the store is opened for writing.

import { closeSync, openSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { loadBinding, makeDirectorySync } from '../native/index.js';
import { syncDirectory } from '../sync-directory.js';
import { cutOff } from './data-extent.js';
import { DataFile, earlierLayout } from './data-file.js';

/**
 * Writes the data of the environment in `directory` in the current form: all of it or nothing. The write lock is held, and
 * no process of that time may have it open.
 *
 * @throws UnpackError `ERR_STORE_CORRUPT`, `ERR_NO_SPACE`; a system error
 */
export function convertEarlierForm(directory: string): void {
  const made = path.join(directory, 'converted');
  rmSync(made, { recursive: true, force: true }); // of one that was killed
  try {
    makeDirectorySync(made, 0o700);
    write(made, readEarlier(path.join(directory, 'data.mdb')));
    rmSync(path.join(directory, 'lock.mdb'), { force: true }); // its form is another one too
    renameSync(path.join(made, 'data.mdb'), path.join(directory, 'data.mdb'));
    syncDirectory(directory);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

function readEarlier(file: string): [key: Buffer, value: Buffer][] {
  const descriptor = openSync(file, 'r');
  try {
    const data = new DataFile(descriptor, earlierLayout);
    const entries = data.isWhole() ? data.entries() : undefined;
    if (entries === undefined) {
      throw cutOff(file, data.size);
    }
    return entries;
  } finally {
    closeSync(descriptor);
  }
}

function write(directory: string, entries: [key: Buffer, value: Buffer][]): void {
  const binding = loadBinding();
  const session = binding.openMetadata({ directory, readOnly: false, sync: true, maxReaders: 1 });
  try {
    binding.beginWrite(session);
    for (const [key, value] of entries) {
      binding.putValue(session, key.toString(), value.toString());
    }
    binding.commitWrite(session);
  } finally {
    binding.closeMetadata(session);
  }
}
