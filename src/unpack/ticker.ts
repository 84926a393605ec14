// Samples progress at most 20 times a second, and once at the end. Does not keep the process alive.

const sampleMilliseconds = 50;

export class Ticker {
  readonly #tick: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(tick: () => void) {
    this.#tick = tick;
  }

  start(): void {
    this.#timer = setInterval(this.#tick, sampleMilliseconds);
    this.#timer.unref();
  }

  /** Ticks once more, if it was started. */
  stop(): void {
    if (this.#timer !== undefined) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.#tick();
    }
  }
}
