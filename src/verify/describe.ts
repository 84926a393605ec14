// Facts of an entry in words.

import { plural } from '../text.js';
import type { EntryFacts } from './types.js';

const nouns: Readonly<Record<EntryFacts['type'], string>> = {
  directory: 'a directory',
  file: 'a file',
  symlink: 'a symlink',
  char: 'a character device',
  block: 'a block device',
  fifo: 'a fifo',
  socket: 'a socket',
  whiteout: 'a whiteout',
};

/** `a directory`, `an empty file`, `a file of 12 bytes`. */
export function nounOf({ type, size }: EntryFacts): string {
  if (type === 'file') {
    return size === 0 ? 'an empty file' : `a file of ${plural(size, 'byte')}`;
  }
  return nouns[type];
}

/** `04755`. */
export function modeText(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

/** `2024-02-03T04:05:06.000000007Z`, what is beyond the calendar in seconds. */
export function timeText({ mtimeSeconds, mtimeNanoseconds }: EntryFacts): string {
  const fraction =
    mtimeNanoseconds === 0
      ? ''
      : `.${String(mtimeNanoseconds).padStart(9, '0').replace(/0+$/, '')}`;
  const date = new Date(mtimeSeconds * 1000);
  return Number.isNaN(date.getTime())
    ? `${mtimeSeconds}${fraction} s`
    : date.toISOString().replace('.000Z', `${fraction}Z`);
}

/** An xattr's value: text where it is text, else its bytes. */
export function xattrText(base64: string): string {
  const bytes = Buffer.from(base64, 'base64');
  const text = bytes.toString('utf8').replace(/\0$/, '');
  return /^[\x20-\x7e]{0,40}$/.test(text)
    ? JSON.stringify(text)
    : `0x${bytes.subarray(0, 20).toString('hex')}${bytes.length > 20 ? '…' : ''}`;
}
