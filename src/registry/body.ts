// The body of an answer, given piece by piece to who reads it, on the stack that received it: no stream, no iterator and
// no promise for each piece, which would cost more than the network. Who reads slows the socket down.

import type { Dispatcher } from 'undici';

/**
 * Takes a piece, whose memory is used again: it is copied before this returns. A promise: nothing more comes until it is
 * kept. `enough`: the rest is not wanted.
 */
export type TakePiece = (piece: Buffer) => Promise<void> | 'enough' | undefined;

interface Reader {
  take: TakePiece;
  resolve(): void;
  reject(error: unknown): void;
}

export class ResponseBody {
  readonly #controller: Dispatcher.DispatchController;
  #reader: Reader | undefined;
  /** Copies of what has come before anybody read, or while who reads was busy. */
  #held: Buffer[] = [];
  #busy = false;
  #ended = false;
  #error: unknown;

  constructor(controller: Dispatcher.DispatchController) {
    this.#controller = controller;
  }

  /** Gives all of it to `take`; once. Rejects with the error that ended it, or what `take` throws. */
  read(take: TakePiece): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#reader = { take, resolve, reject };
      this.#goOn();
    });
  }

  /** Nobody wants the rest: where there is some, the connection is closed. */
  discard(): void {
    this.#held = [];
    if (!this.#ended) {
      this.#ended = true;
      this.#controller.pause(); // the parser may be above us: it must not go on
      this.#controller.abort(new Error('the answer is not wanted'));
    }
  }

  /** A piece has come. */
  push(piece: Buffer): void {
    if (this.#reader === undefined || this.#busy || this.#held.length > 0) {
      this.#held.push(Buffer.from(piece));
      this.#controller.pause();
    } else {
      this.#give(this.#reader, piece);
    }
  }

  /** All has come, or no more will. */
  end(error?: unknown): void {
    if (!this.#ended) {
      this.#ended = true;
      this.#error = error;
      this.#goOn();
    }
  }

  #give(reader: Reader, piece: Buffer): void {
    let taken: ReturnType<TakePiece>;
    try {
      taken = reader.take(piece);
    } catch (error) {
      this.#finish(reader, error);
      return;
    }
    if (taken === 'enough') {
      this.#finish(reader);
    } else if (taken !== undefined) {
      this.#busy = true;
      this.#controller.pause();
      taken.then(
        () => {
          this.#busy = false;
          this.#goOn();
        },
        (error: unknown) => this.#finish(reader, error),
      );
    }
  }

  /** Gives what is held, then lets more come. */
  #goOn(): void {
    for (;;) {
      const reader = this.#reader;
      if (reader === undefined || this.#busy) {
        return;
      }
      const piece = this.#held.shift();
      if (piece !== undefined) {
        this.#give(reader, piece);
      } else if (this.#ended) {
        this.#finish(reader, this.#error);
      } else {
        this.#controller.resume();
        return;
      }
    }
  }

  #finish(reader: Reader, error?: unknown): void {
    this.#reader = undefined;
    this.discard();
    if (error === undefined) {
      reader.resolve();
    } else {
      reader.reject(error);
    }
  }
}
