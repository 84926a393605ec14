// At most so many at once; who comes first goes first.

import { UnpackError } from './errors.js';

export class Slots {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Waits for a slot and runs `work` in it. */
  async run<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    await this.#take(signal);
    try {
      return await work();
    } finally {
      const [next] = this.#waiting;
      if (next === undefined) {
        this.#free++;
      } else {
        next(); // the slot passes from hand to hand
      }
    }
  }

  async #take(signal: AbortSignal | undefined): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const end = () => {
        this.#waiting.delete(take);
        signal?.removeEventListener('abort', giveUp);
      };
      const take = () => {
        end();
        resolve();
      };
      const giveUp = () => {
        end();
        reject(new UnpackError('ERR_ABORTED', 'cancelled', { cause: signal?.reason }));
      };
      this.#waiting.add(take);
      signal?.addEventListener('abort', giveUp, { once: true });
      if (signal?.aborted) {
        giveUp();
      }
    });
  }
}
