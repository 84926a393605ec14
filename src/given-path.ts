// A path as a caller of the library, or who types a command, names it.

import path from 'node:path';
import { UnpackError } from './errors.js';

/**
 * The absolute path of `text`. An empty text is none, as where a shell's variable is not set: resolved it would be the
 * working directory, which nobody has named.
 *
 * @param what for the error
 * @throws UnpackError `ERR_INVALID_ARGUMENT`
 */
export function givenPath(what: string, text: string): string {
  if (typeof text !== 'string' || text === '' || text.includes('\0')) {
    const shown = typeof text === 'string' ? JSON.stringify(text) : typeof text;
    throw new UnpackError('ERR_INVALID_ARGUMENT', `${what}: ${shown} is not a path`);
  }
  return path.resolve(text);
}
