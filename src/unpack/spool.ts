// The bytes of a stream, kept in a file for the case that the layer must be read twice: when a lower layer has a symlink
// where this one has a directory that it does not name, or on the way to a hardlink's target.

import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import type { FileWindow } from '../native/index.js';
import { makeDirectory } from '../native/index.js';

export class Spool {
  /** Where the bytes can be read. */
  readonly window: FileWindow;
  readonly #file: FileHandle;

  private constructor(file: string, handle: FileHandle) {
    this.window = { path: file };
    this.#file = handle;
  }

  /** Makes `file`, and its directory where that is missing; whoever made the directory removes both. */
  static async create(file: string): Promise<Spool> {
    try {
      await makeDirectory(path.dirname(file));
      return new Spool(file, await open(file, 'wx', 0o600));
    } catch (error) {
      throw UnpackError.fromSystem(error, file);
    }
  }

  /** Appends `bytes`. */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      await this.#file.writeFile(bytes);
    } catch (error) {
      throw UnpackError.fromSystem(error, this.window.path);
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
