// The `lmdb` package, or what to type where npm was told to leave out optional packages: its binary is one.

import { UnpackError } from '../errors.js';
import { loadLmdb } from './load-lmdb.js';

/** @throws UnpackError `ERR_UNSUPPORTED` */
export function requireLmdb(load: typeof loadLmdb = loadLmdb): ReturnType<typeof loadLmdb> {
  try {
    return load();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const text = `the store needs the binary of the package lmdb: npm install --include=optional (${why})`;
    throw new UnpackError('ERR_UNSUPPORTED', text, { cause: error });
  }
}
