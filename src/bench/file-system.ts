// Where the demo and the bench work, and whether that place can be timed honestly.

import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, realpath, rmdir, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findFileSystem, hasJournal } from '../doctor/file-system.js';
import { givenPath } from '../given-path.js';
import { UnpackError } from '../index.js';
import { makeDirectory, removeTree } from '../native/index.js';

/** The file system of a directory. */
export interface FileSystemInfo {
  /** `ext4`, `tmpfs`, ... */
  type: string;
  /** Mount options, those of the file system included. */
  options: string[];
  /** Why times measured here say little; undefined where nothing is known against it. */
  warning?: string;
}

/** Room that the demo wants: its image twice unpacked, and some. */
const wantedBytes = 2 * 2 ** 30;

/** A directory to work in. */
export interface ScratchDirectory {
  path: string;
  /** Removes it, and what had to be made above it, as far as nobody else has put anything there. */
  remove(): Promise<void>;
}

/**
 * Makes an empty scratch directory: in `given`, made where missing, else in $TMPDIR, else in /dev/shm where that is a
 * tmpfs with room, else where temporary files go.
 */
export async function makeScratchDirectory(given?: string): Promise<ScratchDirectory> {
  let parent = given ?? process.env.TMPDIR;
  if (parent === undefined) {
    parent = (await hasRoom('/dev/shm')) ? '/dev/shm' : tmpdir();
  }
  let made: string[] = [];
  try {
    if (given !== undefined) {
      made = await makeDirectory(givenPath('directory', given));
    }
    const scratch = await mkdtemp(path.join(await realpath(parent), 'oci-unpack-'));
    return {
      path: scratch,
      remove: async () => {
        await removeTree(scratch);
        await removeEmpty(made);
      },
    };
  } catch (error) {
    await removeEmpty(made);
    throw UnpackError.from(error);
  }
}

/** Each after the one in it; one that is not empty stays, and so do those above it. */
async function removeEmpty(directories: readonly string[]): Promise<void> {
  for (const directory of directories) {
    await rmdir(directory).catch(() => undefined);
  }
}

/** Whether `directory` is a tmpfs with room, in its own bounds and in memory. */
async function hasRoom(directory: string): Promise<boolean> {
  if (!existsSync(directory) || describeFileSystem(directory).type !== 'tmpfs') {
    return false;
  }
  const { bavail, bsize } = await statfs(directory);
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  const memory = Number(available?.[1] ?? 0) * 1024;
  return bavail * bsize >= wantedBytes && memory >= 2 * wantedBytes;
}

/** Looks up the file system that `directory` is on. */
export function describeFileSystem(directory: string): FileSystemInfo {
  const mount = findFileSystem(directory);
  const type = mount?.type ?? 'unknown';
  const options = mount?.options ?? [];
  const warning = warningFor(type, directory);
  return { type, options, ...(warning !== undefined && { warning }) };
}

function warningFor(type: string, directory: string): string | undefined {
  if (type === 'ext4' && hasJournal(directory) === false) {
    return (
      'ext4 without a journal: after a large delete the kernel makes every create five to ten times ' +
      'slower for minutes, so times here say little; use --dir with a tmpfs or another file system'
    );
  }
  if (/^(nfs|cifs|smb|9p|virtiofs|fuse|ceph|afs)/.test(type)) {
    return `${type}: a network or host file system; it is what is timed here, not the unpacking`;
  }
  return type === 'overlay'
    ? 'overlay: its copy in the upper layer is timed too; use --dir with a plain file system'
    : undefined;
}
