// Loads the `lmdb` package, and only where a store is opened: it takes longer to load than all of our own code. The
// command's bundle has scripts/lib/bundled/load-lmdb.mjs in the place of this file.

import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

export function loadLmdb(): typeof import('lmdb') {
  return require('lmdb') as typeof import('lmdb');
}
