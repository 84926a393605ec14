// Nobody opens the tree while somebody commits: who opens it looks through the pages of its data file first (data-extent.ts),
// or writes it anew (earlier-form.ts), and is no reader of LMDB's yet, whose pages a writer would leave alone.

import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { loadBinding } from '../native/index.js';

const pause = new Int32Array(new SharedArrayBuffer(4));
const pauseMilliseconds = 1;

/** Runs `work` while no other process or thread is in here for the same directory; a killed one does not stay in. */
export function withWriteLock<T>(directory: string, work: () => T): T {
  const file = path.join(directory, 'write.lock');
  const descriptor = openLock(file);
  try {
    takeLock(descriptor, file);
    return work();
  } finally {
    closeSync(descriptor); // lets go of it
  }
}

function takeLock(descriptor: number, file: string): void {
  try {
    while (!loadBinding().tryLock(descriptor)) {
      Atomics.wait(pause, 0, 0, pauseMilliseconds);
    }
  } catch (error) {
    throw UnpackError.fromSystem(error, file);
  }
}

function openLock(file: string): number {
  try {
    return openSync(file, 'a', 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EROFS' && code !== 'EPERM') {
      throw UnpackError.fromSystem(error, file);
    }
    return openToRead(file, error);
  }
}

/** Who may only read locks it as well (flock(2)). A file that is not there tells `refusal`, why it was not made. */
function openToRead(file: string, refusal: unknown): number {
  try {
    return openSync(file, 'r');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw UnpackError.fromSystem(missing ? refusal : error, file);
  }
}
