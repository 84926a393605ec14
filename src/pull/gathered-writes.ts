// A network gives a blob in small pieces; they are written to its file in bigger ones, while the next are received.

import type { ContentWriter } from '../content/index.js';

const gatheredBytes = 1024 * 1024;

export class GatheredWrites {
  readonly #writer: ContentWriter;
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(writer: ContentWriter) {
    this.#writer = writer;
  }

  /** Takes bytes, which must stay as they are. A promise: wait for it, enough are held. One call at a time. */
  write(piece: Uint8Array): Promise<void> | undefined {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    return this.#bytes < gatheredBytes ? undefined : this.#writing.then(() => this.#begin());
  }

  /** Writes what is held. */
  async flush(): Promise<void> {
    await this.#writing;
    if (this.#bytes > 0) {
      this.#begin();
      await this.#writing;
    }
  }

  #begin(): void {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#bytes = 0;
    this.#writing = this.#writer.write(...pieces);
    this.#writing.catch(() => undefined); // who calls next is told
  }
}
