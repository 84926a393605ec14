// Compiles the bundled command for V8, as the code cache that its main.js loads (scripts/lib/bundled/main.cjs).

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import loader from './bundled/main.cjs';

/**
 * To be called before the bundle changes: V8 tells a cache from that of another file by the length alone.
 * @param {string} bundle the directory of the bundle
 */
export function removeCodeCaches(bundle) {
  rmSync(join(bundle, dirname(loader.cacheDirectory)), { recursive: true, force: true });
}

/**
 * Makes the cache for this version of V8, where there is none. All at once or nothing.
 * @param {string} bundle
 * @returns {boolean} whether it was made
 */
export function makeCodeCache(bundle) {
  const made = join(bundle, loader.cacheDirectory);
  if (existsSync(made)) {
    return false;
  }
  const temporary = `${made}.tmp`;
  rmSync(temporary, { recursive: true, force: true });
  const names = readdirSync(bundle).filter((name) => name.endsWith('.js') && name !== 'main.js');
  // Of each function, not only of those that run when the file is loaded. V8 compares its flags with those of the
  // one that made the cache: they are as ever when the cache is made.
  setFlagsFromString('--no-lazy');
  const scripts = names.map((name) => ({ name, script: loader.compile(bundle, name) }));
  setFlagsFromString('--lazy');
  mkdirSync(temporary, { recursive: true });
  for (const { name, script } of scripts) {
    writeFileSync(join(temporary, name), script.createCachedData());
  }
  renameSync(temporary, made);
  return true;
}
