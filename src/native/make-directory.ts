// Makes directories, as Node's recursive mkdir does, but for the errors that it tells wrong: for all but a few it asks after
// the directory that it could not make, and reports ENOENT (MKDirpSync, MKDirpAsync: EIO; the asynchronous one
// a full disk as well), as it does for a directory that another process removes at that moment.

import { mkdirSync, statSync } from 'node:fs';
import path from 'node:path';

/** How often a directory may be removed by others while it is made. */
const tries = 10;

/** `fs.mkdirSync` with `recursive`. @returns the directories that had to be made, the deepest first */
export function makeDirectorySync(directory: string, mode = 0o777): string[] {
  let above: string[] = [];
  for (let left = tries; ; left--) {
    try {
      mkdirSync(directory, { mode });
      return [directory, ...above];
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const there = code === 'EEXIST' ? statSync(directory, { throwIfNoEntry: false }) : undefined;
      if (there?.isDirectory()) {
        return above;
      }
      if (there !== undefined || left <= 1 || (code !== 'ENOENT' && code !== 'EEXIST')) {
        throw error;
      }
    }
    const parent = path.dirname(directory);
    if (parent !== directory && above.length === 0) {
      above = makeDirectorySync(parent, mode);
    }
  }
}

/** {@link makeDirectorySync}, for who waits for it. */
export async function makeDirectory(directory: string, mode = 0o777): Promise<string[]> {
  return makeDirectorySync(path.resolve(directory), mode);
}
