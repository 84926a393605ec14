// What a built addon asks of the machine that loads it: the newest symbol versions, and no zstd of Node's.

import { outputOf, ScriptError } from './process.mjs';

/** The newest that a prebuilt addon may need: those of Debian 12. */
const newest = { GLIBC: '2.36', GLIBCXX: '3.4.30', CXXABI: '1.3.13' };

/**
 * Checks the undefined symbols of a shared object; a ScriptError says which are wrong.
 * @param {string} file
 * @returns {string} what it needs, for people
 */
export function checkSymbols(file) {
  const symbols = outputOf('nm', ['--dynamic', '--undefined-only', '--with-symbol-versions', file]);
  if (symbols === undefined) {
    throw new ScriptError(`${file}: nm cannot read it`);
  }
  // Node 22 and later export another zstd; ours is linked in and hidden. Weak ones (w) are hooks for tracing.
  if (/ U ZSTD_/.test(symbols)) {
    throw new ScriptError(`${file} takes zstd from whoever has it; it must be linked in`);
  }
  return Object.entries(newest)
    .flatMap(([library, allowed]) => {
      const found = [...symbols.matchAll(new RegExp(`@${library}_([0-9.]+)`, 'g'))];
      const needed = found
        .map(([, version = '']) => version)
        .sort(compareVersions)
        .at(-1);
      if (needed === undefined) {
        return [];
      }
      if (compareVersions(needed, allowed) > 0) {
        throw new ScriptError(
          `${file} needs ${library} ${needed}; ${allowed} is the newest allowed`,
        );
      }
      return [`${library} ${needed}`];
    })
    .join(', ');
}

/**
 * @param {string} a
 * @param {string} b
 */
function compareVersions(a, b) {
  return a.localeCompare(b, 'en', { numeric: true });
}
