// Makes directories, as Node's recursive mkdir does, but for two errors that it tells wrong: the asynchronous one reports a
// full disk as ENOENT, since it asks after the directory that it could not make (MKDirpAsync), and both report ENOENT
// for a directory that another process removes at that moment.

import { mkdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';

const tries = 10;

/** `fs.mkdir` with `recursive`: the first directory that had to be made, undefined for none. */
export async function makeDirectory(directory: string, mode = 0o777): Promise<string | undefined> {
  for (let left = tries; ; left--) {
    try {
      return await mkdir(directory, { recursive: true, mode });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw error;
      }
    }
    try {
      return mkdirSync(directory, { recursive: true, mode });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || left <= 1) {
        throw error;
      }
    }
  }
}
