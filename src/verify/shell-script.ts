// Writes POSIX shell scripts in which any bytes can be a word: names of files and images are of whoever made them.

import { shellWord, wrap } from '../text.js';

/** A script, line by line. */
export class ShellScript {
  readonly #lines: string[] = [];
  #words = 0;

  /** Adds lines as they are. */
  add(...lines: string[]): void {
    this.#lines.push(...lines);
  }

  /** Adds a comment; what could end it, or act upon a terminal, is shown as `?`. */
  comment(text: string): void {
    for (const line of wrap(text.replace(/[^\P{C}]|[\u2028\u2029]/gu, '?'), 98, '')) {
      this.#lines.push(line === '' ? '#' : `# ${line}`);
    }
  }

  /** Adds a command of these words, each quoted. */
  run(...words: (string | Buffer)[]): void {
    // Words first: they may need lines of their own before the command.
    const quoted = words.map((word) => this.word(word));
    this.#lines.push(quoted.join(' '));
  }

  /** A word that the shell takes for exactly these bytes; may add a line that it needs. */
  word(value: string | Buffer): string {
    const bytes = Buffer.from(value as string);
    const text = bytes.toString('utf8');
    const isText = Buffer.from(text).equals(bytes);
    if (isText && /^\P{C}*$/u.test(text)) {
      return shellWord(text);
    }
    // A command substitution takes newlines at the end away: hence the dot.
    this.#words++;
    const name = `word${this.#words}`;
    this.#lines.push(`${name}=$(printf '${octal(bytes)}.'); ${name}=\${${name}%.}`);
    return `"$${name}"`;
  }

  toString(): string {
    return `${this.#lines.join('\n')}\n`;
  }
}

/** Bytes for printf(1): all but the plainest as `\ooo`. */
function octal(bytes: Buffer): string {
  let text = '';
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    text += /[A-Za-z0-9/_]/.test(character) ? character : `\\${byte.toString(8).padStart(3, '0')}`;
  }
  return text;
}
