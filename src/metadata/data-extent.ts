// Whether LMDB's data file has all pages that its trees lead to: LMDB would end the process over one that is not there.

import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { DataFile } from './data-file.js';

/**
 * Of a data file that begins as one of LMDB's does, while nobody writes it.
 *
 * @throws UnpackError `ERR_STORE_CORRUPT`; a system error
 */
export function checkExtent(directory: string): void {
  const file = path.join(directory, 'data.mdb');
  const descriptor = openSync(file, 'r');
  try {
    const data = new DataFile(descriptor);
    if (!data.isWhole()) {
      throw cutOff(file, data.size);
    }
  } finally {
    closeSync(descriptor);
  }
}

/** The error of a data file that ends before its last page. */
export function cutOff(file: string, size: number): UnpackError {
  const problem = `${file}: has been cut off at ${size} bytes`;
  return new UnpackError('ERR_STORE_CORRUPT', problem, { path: file });
}
