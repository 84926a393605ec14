// In the command's bundle, in the place of src/metadata/load-lmdb.ts: the JavaScript of `lmdb` is in the bundle, which loads
// in a third of the time. Its binary is not; where there is none that fits this copy, the package itself is loaded.

import { createRequire } from 'node:module';
import { binaryOfLmdb } from './lmdb-binary.mjs';

/** The real one: what `require` names is put into the bundle. */
const outside = createRequire(__filename);

export function loadLmdb() {
  if (binaryOfLmdb() !== undefined) {
    try {
      return require('lmdb');
    } catch {
      // E.g. a host with another C library. What the package says then is what matters.
    }
  }
  return outside('lmdb');
}
