// Pushes bytes into a job of the addon, as fast as it takes them.

import type { LayerJob } from '../native/index.js';

/** The addon copies what it is given; pieces of this size keep its queue short. */
export const sliceBytes: number = 256 * 1024;

export class JobFeed {
  readonly #job: LayerJob;
  #wake: () => void = () => undefined;
  /** The job has ended, well or not: nothing more is taken. */
  over = false;
  /** Why it has failed. */
  error: unknown;

  /** @param onOver called when the job has ended */
  constructor(job: LayerJob, onOver: () => void) {
    this.#job = job;
    const end = () => {
      this.over = true;
      this.#wake();
      onOver();
    };
    job.done.then(end, (error: unknown) => {
      this.error = error;
      end();
    });
    job.onDrain(() => this.#wake());
  }

  /** Gives bytes to the job, which copies them. A promise: wait for it, the job has enough for now. One call at a time. */
  write(bytes: Uint8Array): Promise<void> | undefined {
    for (let at = 0; at < bytes.length && !this.over; at += sliceBytes) {
      const next = at + sliceBytes;
      if (!this.#job.write(bytes.subarray(at, next)) && !this.over) {
        const drained = new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        return next < bytes.length ? drained.then(() => this.write(bytes.subarray(next))) : drained;
      }
    }
    return undefined;
  }

  /** There are no more. */
  end(): void {
    if (!this.over) {
      this.#job.end();
    }
  }

  /** Lets go of who waits. */
  close(): void {
    this.over = true;
    this.#wake();
  }
}
