// The files of an image in a tar archive. The archive itself is what locations point into: nothing is extracted. A
// compressed archive is decompressed once into a temporary file that has no name, so nothing can leave it behind.

import { type FileHandle, open, stat } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { type Compression, detectCompression, longestMagic } from './compression.js';
import { decompressToTemporary } from './decompress.js';
import { type ImageFiles, readAt } from './image-files.js';
import type { OpenOptions } from './open-image-source.js';
import type { BlobLocation } from './source.js';
import { readTarIndex } from './tar-index.js';
import type { TarMembers } from './tar-members.js';

/** The members of an archive. */
export class ArchiveFiles implements ImageFiles {
  readonly name: string;
  readonly #file: OpenedFile;
  readonly #members: TarMembers;

  private constructor(name: string, file: OpenedFile, members: TarMembers) {
    this.name = name;
    this.#file = file;
    this.#members = members;
  }

  /**
   * Opens an archive and reads its headers.
   *
   * @throws UnpackError `ERR_NOT_FOUND`, `ERR_PERMISSION`, `ERR_INVALID_TAR`, `ERR_TRUNCATED`, `ERR_INVALID_GZIP`,
   *   `ERR_UNKNOWN_COMPRESSION`, `ERR_UNSUPPORTED` (zstd before Node 22.15), `ERR_NO_SPACE`, `ERR_LIMIT_EXCEEDED`
   */
  static async open(archive: string, options: OpenOptions = {}): Promise<ArchiveFiles> {
    const file = await openArchive(archive, options);
    try {
      const members = await readTarIndex(file.handle, file.size, archive);
      return new ArchiveFiles(archive, file, members);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async locate(member: string): Promise<BlobLocation | undefined> {
    const found = this.#members.find(member);
    return found === undefined ? undefined : { path: this.#file.path, ...found };
  }

  read(location: BlobLocation, length = location.length): Promise<Buffer> {
    return readAt(this.#file.handle, location.offset, length, this.name);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** A file that is open and can be opened again by its path until it is closed. */
export interface OpenedFile {
  readonly handle: FileHandle;
  readonly path: string;
  readonly size: number;
  close(): Promise<void>;
}

/** Opens an archive, decompressed where it is compressed. */
async function openArchive(archive: string, options: OpenOptions): Promise<OpenedFile> {
  const file = await openRegular(archive);
  let compression: Compression;
  try {
    const head = await readAt(file.handle, 0, Math.min(longestMagic, file.size), archive);
    compression = detectCompression(head);
    if (compression === 'none') {
      return file;
    }
    return await decompressToTemporary(file, compression, archive, options);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openRegular(archive: string): Promise<OpenedFile> {
  const absolute = path.resolve(archive);
  try {
    // Looked at before it is opened: opening a fifo would wait for its writer.
    const stats = await stat(absolute);
    if (!stats.isFile()) {
      const hint = stats.isDirectory()
        ? ' but a directory; an OCI layout directory is oci:PATH'
        : '';
      throw new UnpackError('ERR_INVALID_IMAGE', `${archive}: is not an archive file${hint}`, {
        path: archive,
      });
    }
    const handle = await open(absolute, 'r');
    return {
      handle,
      path: absolute,
      size: (await handle.stat()).size,
      close: () => handle.close(),
    };
  } catch (error) {
    throw UnpackError.fromSystem(error, archive);
  }
}
