// Makes directories, and says what is wrong: the asynchronous mkdir of Node reports a full disk as ENOENT when it makes
// what is missing above (its MKDirpAsync asks after the directory that it could not make); the synchronous one
// does not.

import { mkdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';

/** `fs.mkdir` with `recursive`: the first directory that had to be made, undefined for none. */
export async function makeDirectory(directory: string, mode = 0o777): Promise<string | undefined> {
  try {
    return await mkdir(directory, { recursive: true, mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw error;
    }
    return mkdirSync(directory, { recursive: true, mode });
  }
}
