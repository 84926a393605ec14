// A network gives a blob in small pieces; they are copied into a buffer, which is written to the blob's file when it is full,
// while the next one fills. Three buffers do for a download, and then for the next; what the pieces came in is free at once.

import type { ContentWriter } from '../content/index.js';

const bufferBytes = 1024 * 1024;

export class GatheredWrites {
  readonly #writer: ContentWriter;
  readonly #spare: Buffer[];
  #filling: Buffer | undefined;
  #filled = 0;
  /** Full, and not begun to be written. */
  readonly #full: Buffer[] = [];
  #writing: Promise<void> | undefined;

  /** @param spare buffers that other downloads have used, and may use again */
  constructor(writer: ContentWriter, spare: Buffer[]) {
    this.#writer = writer;
    this.#spare = spare;
  }

  /** Copies bytes. A promise: wait for it, the file is behind. */
  write(bytes: Uint8Array): Promise<void> | undefined {
    for (let at = 0; at < bytes.length; ) {
      this.#filling ??= this.#spare.pop() ?? Buffer.allocUnsafeSlow(bufferBytes);
      const end = at + Math.min(bytes.length - at, bufferBytes - this.#filled);
      this.#filling.set(bytes.subarray(at, end), this.#filled);
      this.#filled += end - at;
      at = end;
      if (this.#filled === bufferBytes) {
        this.#full.push(this.#filling);
        this.#filling = undefined;
        this.#filled = 0;
        this.#writing ??= this.#begin();
      }
    }
    return this.#full.length > 0 ? this.#writing : undefined;
  }

  /** Writes what is held. */
  async flush(): Promise<void> {
    await this.#writing;
    const rest = this.#filling;
    if (rest !== undefined) {
      this.#filling = undefined;
      await this.#writer.write(rest.subarray(0, this.#filled));
      this.#filled = 0;
      this.#spare.push(rest);
    }
  }

  #begin(): Promise<void> {
    const writing = this.#writeFull();
    writing.catch(() => undefined); // who calls next is told
    return writing;
  }

  /** Writes what is full, until nothing is. */
  async #writeFull(): Promise<void> {
    for (let full = this.#full.shift(); full !== undefined; full = this.#full.shift()) {
      await this.#writer.write(full);
      this.#spare.push(full);
    }
    this.#writing = undefined;
  }
}
