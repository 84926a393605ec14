// Finds the binary of `lmdb`, for the copy of its JavaScript that is in the command's bundle. The package's own way asks
// Node for a report of the whole process, and loads what starts programs, to tell the C library: 10 ms.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import lmdb from '../../../node_modules/lmdb/package.json' with { type: 'json' };

const outside = createRequire(__filename);

/** The path of a binary of the very version of the bundled code, for this Node and glibc; undefined where there is none. */
export function binaryOfLmdb() {
  try {
    const manifest = outside.resolve(`@lmdb/lmdb-${process.platform}-${process.arch}/package.json`);
    if (JSON.parse(readFileSync(manifest, 'utf8')).version !== lmdb.version) {
      return undefined;
    }
    return [`node.abi${process.versions.modules}.glibc.node`, 'node.napi.glibc.node']
      .map((name) => join(dirname(manifest), name))
      .find((file) => existsSync(file));
  } catch {
    return undefined;
  }
}

/** What `lmdb` calls: loads the binary. */
export default function load() {
  return outside(binaryOfLmdb() ?? 'lmdb');
}
