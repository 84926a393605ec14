// How fast a connection gives bytes, without the time in which nobody took them: that is not the network's.

/** Bytes that say how fast it is. */
const leastBytes = 512 * 1024;

export class Pace {
  #bytes = 0;
  /** Milliseconds that bytes were waited for. */
  #waited = 0;
  /** Since when they are; undefined before the first came, which says nothing, and while nobody takes any. */
  #since: number | undefined;

  /** Bytes have come. */
  came(bytes: number): void {
    if (this.#since !== undefined) {
      this.#bytes += bytes;
      this.#waited += performance.now() - this.#since;
      this.#since = undefined;
    }
  }

  /** The next are waited for. */
  waits(): void {
    this.#since = performance.now();
  }

  /** Bytes per second; undefined while too little has come. */
  get rate(): number | undefined {
    return this.#bytes < leastBytes ? undefined : (this.#bytes / this.#waited) * 1000;
  }
}
