// The file system that a directory is on, as /proc tells: its type, its mount options, and whether an ext4 has a journal.

import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { unescapeMount } from '../text.js';

/** A mount. */
export interface MountedFileSystem {
  /** `ext4`, `tmpfs`, ... */
  type: string;
  /** Mount options, those of the file system included. */
  options: string[];
}

/** The file system that `directory` is on; undefined where /proc does not tell. */
export function findFileSystem(directory: string): MountedFileSystem | undefined {
  return findMount(realpathSync(directory));
}

/** proc(5), mountinfo: `ID PARENT MAJOR:MINOR ROOT TARGET OPTIONS FIELDS... - TYPE SOURCE SUPEROPTIONS`. */
function findMount(directory: string): MountedFileSystem | undefined {
  let best: MountedFileSystem | undefined;
  let longest = -1;
  for (const line of readMounts().split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const escaped = left.split(' ')[4];
    if (escaped === undefined) {
      continue;
    }
    const target = unescapeMount(escaped);
    const inside = directory === target || directory.startsWith(target.replace(/\/?$/, '/'));
    // Of mounts on the same target the last one is visible.
    if (inside && target.length >= longest) {
      const [type = 'unknown', , superOptions = ''] = right.split(' ');
      const options = `${left.split(' ')[5] ?? ''},${superOptions}`.split(',').filter(Boolean);
      best = { type, options: [...new Set(options)] };
      longest = target.length;
    }
  }
  return best;
}

function readMounts(): string {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return ''; // no /proc
  }
}

/** Whether the ext4 that `directory` is on has a journal; undefined where /proc does not tell. */
export function hasJournal(directory: string): boolean | undefined {
  try {
    const { dev } = statSync(directory);
    // makedev(3) of glibc: minor in bits 0-7 and 20-31, major in bits 8-19.
    const major = (dev >>> 8) & 0xfff;
    const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
    const device = path.basename(realpathSync(`/sys/dev/block/${major}:${minor}`));
    if (!existsSync(`/proc/fs/ext4/${device}`)) {
      return undefined;
    }
    // The journal's thread has an entry named DEVICE-INODE there.
    return readdirSync('/proc/fs/jbd2').some((name) => name.startsWith(`${device}-`));
  } catch {
    return undefined;
  }
}
