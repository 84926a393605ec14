// Loads the binary of `lmdb`, for the copy of its JavaScript that is in the command's bundle. The package's own way asks
// Node for a report of the whole process, and loads what starts programs, to tell the C library: 10 ms.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import lmdb from '../../../node_modules/lmdb/package.json' with { type: 'json' };

const outside = createRequire(__filename);

/** What `lmdb` calls. Throws where there is no binary of the very version of the bundled code, for this Node and glibc. */
export default function load() {
  const manifest = outside.resolve(`@lmdb/lmdb-${process.platform}-${process.arch}/package.json`);
  const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
  const binary = [`node.abi${process.versions.modules}.glibc.node`, 'node.napi.glibc.node']
    .map((name) => join(dirname(manifest), name))
    .find((file) => existsSync(file));
  if (version !== lmdb.version || binary === undefined) {
    throw new Error(`${manifest}: no binary for lmdb ${lmdb.version}`);
  }
  return outside(binary);
}
