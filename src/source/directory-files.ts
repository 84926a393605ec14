// The files of an image in a directory.

import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { type ImageFiles, readAt } from './image-files.js';
import type { BlobLocation } from './source.js';

/** Files below a directory. Symlinks are followed: layouts in stores of links exist, and digests tell the truth. */
export class DirectoryFiles implements ImageFiles {
  readonly name: string;
  readonly #directory: string;

  constructor(directory: string) {
    this.name = directory;
    this.#directory = path.resolve(directory);
  }

  async locate(relative: string): Promise<BlobLocation | undefined> {
    const file = path.join(this.#directory, relative);
    try {
      const stats = await stat(file);
      if (!stats.isFile()) {
        throw new UnpackError('ERR_INVALID_IMAGE', `${file}: is not a regular file`, {
          path: file,
        });
      }
      return { path: file, offset: 0, length: stats.size };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') {
        return undefined;
      }
      throw UnpackError.fromSystem(error, file);
    }
  }

  async read(location: BlobLocation, length = location.length): Promise<Buffer> {
    let handle: FileHandle;
    try {
      // O_NONBLOCK: should the file have become a fifo since it was located, open does not wait for a writer.
      handle = await open(location.path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      throw UnpackError.fromSystem(error, location.path);
    }
    try {
      return await readAt(handle, location.offset, length, location.path);
    } finally {
      await handle.close();
    }
  }

  async close(): Promise<void> {}
}
