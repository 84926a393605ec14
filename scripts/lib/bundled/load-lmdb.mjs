// In the command's bundle, in the place of src/metadata/load-lmdb.ts: the JavaScript of `lmdb` is in the bundle, which loads
// in a third of the time. Its binary is not; where there is none that fits this copy, the package itself is loaded.

import { createRequire } from 'node:module';

/** The real one: what `require` names is put into the bundle. */
const outside = createRequire(__filename);

/** Kept: a copy that has failed to load would give what there is of it the next time. */
let lmdb;

export function loadLmdb() {
  lmdb ??= load();
  return lmdb;
}

function load() {
  try {
    return require('lmdb');
  } catch {
    // E.g. a host with another C library. What the package says then is what matters.
    return outside('lmdb');
  }
}
