// What a command may do with stdout and stderr: colour, size, and a region that is redrawn in place.

import type { WriteStream } from 'node:tty';
import { truncate } from '../text.js';

/** Colours, or the text unchanged. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

/** Colours: on a terminal, unless NO_COLOR is set and not empty (no-color.org). */
export function styleFor(isTerminal: boolean, env: NodeJS.ProcessEnv): Style {
  const colored = isTerminal && !env.NO_COLOR && env.TERM !== 'dumb';
  const paint = (open: number, close: number) => (text: string) =>
    colored ? `\x1b[${open}m${text}\x1b[${close}m` : text;
  return {
    bold: paint(1, 22),
    dim: paint(2, 22),
    red: paint(31, 39),
    green: paint(32, 39),
    yellow: paint(33, 39),
    cyan: paint(36, 39),
  };
}

/** Lines at the bottom of a terminal that are redrawn in place, the cursor hidden meanwhile. */
export class LiveRegion {
  readonly #stream: WriteStream;
  #lines = 0;
  #hidden = false;
  readonly #restore = () => this.clear();

  constructor(stream: WriteStream) {
    this.#stream = stream;
  }

  /** Columns that a line may fill: one less than there are, since some terminals wrap at the last. */
  get columns(): number {
    return Math.max((this.#stream.columns || 80) - 1, 10);
  }

  /** Lines that may be drawn; more would scroll, and could not be redrawn. */
  get rows(): number {
    return Math.max((this.#stream.rows || 24) - 1, 1);
  }

  /** Draws `lines` over the ones drawn before. */
  draw(lines: readonly string[]): void {
    const shown = lines.slice(-this.rows).map((line) => truncate(line, this.columns));
    let text = this.#hidden ? '' : '\x1b[?25l';
    text += this.#home();
    for (const line of shown) {
      text += `${line}\x1b[K\n`;
    }
    this.#write(`${text}\x1b[J`);
    this.#lines = shown.length;
    if (!this.#hidden) {
      this.#hidden = true;
      process.once('exit', this.#restore); // also when something else ends the process
    }
  }

  /** Removes the lines and shows the cursor. */
  clear(): void {
    if (this.#hidden) {
      this.#write(`${this.#home()}\x1b[J\x1b[?25h`);
      this.#lines = 0;
      this.#hidden = false;
      process.removeListener('exit', this.#restore);
    }
  }

  // After a resize to fewer columns the drawn lines may have wrapped; the next frames overwrite what is left.
  #home(): string {
    return this.#lines > 0 ? `\x1b[${this.#lines}A\r` : '\r';
  }

  #write(text: string): void {
    this.#stream.write(text);
  }
}
