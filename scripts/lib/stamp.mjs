// Stamp files: a hash of all that a build depends on, written after it has succeeded.

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './process.mjs';

/**
 * Every file below `paths` (relative to the package), sorted; what does not exist is left out.
 * @param {readonly string[]} paths
 * @returns {string[]}
 */
export function filesBelow(paths) {
  /** @type {string[]} */
  const files = [];
  /** @param {string} path */
  const visit = (path) => {
    try {
      for (const entry of readdirSync(join(root, path), { withFileTypes: true })) {
        if (entry.isDirectory()) {
          visit(join(path, entry.name));
        } else {
          files.push(join(path, entry.name));
        }
      }
    } catch (error) {
      const code = /** @type {NodeJS.ErrnoException} */ (error).code;
      if (code === 'ENOTDIR') {
        files.push(path);
      } else if (code !== 'ENOENT') {
        throw error;
      }
    }
  };
  paths.forEach(visit);
  return files.sort();
}

/**
 * A hash of the names and contents of `files` and of `facts`.
 * @param {readonly string[]} files
 * @param {readonly string[]} facts
 */
export function hashOf(files, facts = []) {
  const hash = createHash('sha256');
  for (const fact of facts) {
    hash.update(`${fact}\0`);
  }
  for (const file of files) {
    const content = readFileSync(join(root, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/**
 * @param {string} stamp path of the stamp file, relative to the package
 * @param {string} hash
 */
export function isFresh(stamp, hash) {
  try {
    return readFileSync(join(root, stamp), 'utf8').trim() === hash;
  } catch {
    return false;
  }
}

/**
 * @param {string} stamp
 * @param {string} hash
 */
export function writeStamp(stamp, hash) {
  mkdirSync(dirname(join(root, stamp)), { recursive: true });
  writeFileSync(join(root, stamp), `${hash}\n`);
}
