// SIGINT, SIGTERM and SIGHUP: the first one cancels, and the command ends when it has cleaned up; a later one
// ends the process at once.

import { setMaxListeners } from 'node:events';
import { constants } from 'node:os';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** One stop may come as two signals: timeout(1) and others signal both the process and its group. */
const togetherMilliseconds = 1000;

export class StopSignals {
  readonly #controller = new AbortController();
  #received: (typeof signals)[number] | undefined;
  #receivedAt = 0;
  readonly #handler = (name: NodeJS.Signals) => {
    if (this.#received !== undefined) {
      if (performance.now() - this.#receivedAt < togetherMilliseconds) {
        return;
      }
      process.exit(exitCodeOf(name));
    }
    this.#receivedAt = performance.now();
    this.#received = name as (typeof signals)[number];
    this.#controller.abort(new Error(`stopped by ${name}`));
  };

  /** Fires at the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP; undefined when there was none. */
  get exitCode(): number | undefined {
    return this.#received && exitCodeOf(this.#received);
  }

  listen(): this {
    setMaxListeners(0, this.signal); // as many as there are layers, streams and children at work
    for (const name of signals) {
      process.on(name, this.#handler);
    }
    return this;
  }

  close(): void {
    for (const name of signals) {
      process.removeListener(name, this.#handler);
    }
  }
}

function exitCodeOf(name: NodeJS.Signals): number {
  return 128 + constants.signals[name];
}
