// A network gives a blob in small pieces; they are copied into a buffer, which is written to the blob's file when it is full,
// while the next one fills. Two buffers for all of a download: what the HTTP client allocates is garbage at once.

import type { ContentWriter } from '../content/index.js';

const bufferBytes = 1024 * 1024;

export class GatheredWrites {
  readonly #writer: ContentWriter;
  #filling: Buffer = Buffer.allocUnsafeSlow(bufferBytes);
  #spare: Buffer | undefined;
  #filled = 0;
  #writing: Promise<void> | undefined;

  constructor(writer: ContentWriter) {
    this.#writer = writer;
  }

  /** Takes bytes. A promise: wait for it, both buffers are full; they may be used again then. One call at a time. */
  write(bytes: Uint8Array): Promise<void> | undefined {
    for (let at = 0; at < bytes.length; ) {
      if (this.#filled === bufferBytes) {
        const rest = bytes.subarray(at);
        return this.#writing?.then(() => this.write(rest));
      }
      const end = at + Math.min(bytes.length - at, bufferBytes - this.#filled);
      this.#filling.set(bytes.subarray(at, end), this.#filled);
      this.#filled += end - at;
      at = end;
      if (this.#filled === bufferBytes && this.#writing === undefined) {
        this.#begin();
      }
    }
    return undefined;
  }

  /** Writes what is held. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined || this.#filled > 0) {
      if (this.#writing === undefined) {
        this.#begin();
      }
      await this.#writing;
    }
  }

  #begin(): void {
    const full = this.#filling;
    const bytes = full.subarray(0, this.#filled);
    this.#filling = this.#spare ?? Buffer.allocUnsafeSlow(bufferBytes);
    this.#filled = 0;
    this.#writing = this.#writer.write(bytes).then(() => {
      this.#spare = full;
      this.#writing = undefined;
      if (this.#filled === bufferBytes) {
        this.#begin();
      }
    });
    this.#writing.catch(() => undefined); // who calls next is told
  }
}
