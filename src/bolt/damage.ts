// The errors of a database that is damaged, is none, or is one that is not known here; and checked numbers.

import { UnpackError } from '../errors.js';

/** `ERR_INVALID_STORE`: what is wrong in which file. */
export function damaged(file: string, problem: string): UnpackError {
  return new UnpackError('ERR_INVALID_STORE', `${file}: ${problem}`, { path: file });
}

/** A little-endian 64-bit number; undefined where it is beyond what a JavaScript number holds exactly. */
export function readUint64(bytes: Buffer, offset: number): number | undefined {
  const high = bytes.readUInt32LE(offset + 4);
  return high >= 0x20_0000 ? undefined : high * 0x1_0000_0000 + bytes.readUInt32LE(offset);
}
