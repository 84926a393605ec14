// Tables of the store's commands: a heading, one line per thing, as wide as the terminal.

import {
  type Alignment,
  formatDuration,
  isPrintable,
  printable,
  shorten,
  truncate,
} from '../../text.js';
import type { RunContext } from '../run-context.js';

/** A column: its heading, its cell of an item, how it is aligned, and the most characters that it may take. */
export interface Column<T> {
  head: string;
  text: (item: T, index: number) => string;
  align?: Alignment;
  /** Longer ones are cut in the middle. */
  most?: number;
}

/**
 * A line for each item under headings, none longer than the terminal. By columns and not by rows, in short loops that
 * V8 compiles at once: half the time of a list of ten thousand.
 */
export function listing<T>(
  context: RunContext,
  items: readonly T[],
  columns: readonly Column<T>[],
): string[] {
  const [first = [], ...others] = columns.map((column) => aligned(cellsOf(column, items), column));
  let lines = first;
  for (const cells of others) {
    lines = lines.map((line, row) => `${line}  ${cells[row]}`);
  }
  const width = context.columns;
  lines = lines.map((line) => truncate(line.trimEnd(), width));
  lines[0] = context.style.bold(lines[0] as string);
  return lines;
}

/** The heading and the cells below it, safe to print and not too long. */
function cellsOf<T>({ head, text, most }: Column<T>, items: readonly T[]): string[] {
  let cells = allPrintable(items.map(text));
  if (most !== undefined) {
    cells = cells.map((cell) => shorten(cell, most));
  }
  cells.unshift(head);
  return cells;
}

/** The texts, safe to print. */
function allPrintable(texts: string[]): string[] {
  // Almost always they are, and to look once at all of a long list takes a fifth of looking at each text.
  return isPrintable(texts.join('')) ? texts : texts.map(printable);
}

/** The cells, all as wide as the widest. */
function aligned<T>(cells: readonly string[], { align }: Column<T>): string[] {
  let width = 0;
  for (const { length } of cells) {
    width = Math.max(length, width);
  }
  return cells.map((cell) => (align === '>' ? cell.padStart(width) : cell.padEnd(width)));
}

/** One name in each line, for `--quiet`. */
export function quietLines(names: string[]): string {
  const shown = allPrintable(names);
  return shown.length === 0 ? '' : `${shown.join('\n')}\n`;
}

/** `3m12s ago`, of milliseconds since 1970. */
export function ago(time: number, now = Date.now()): string {
  const passed = Math.max(0, now - time);
  const seconds = Math.round(passed / 1000);
  if (seconds < 60) {
    return `${seconds} s ago`;
  }
  const days = Math.floor(passed / 86_400_000);
  return days >= 2 ? `${days} days ago` : `${formatDuration(seconds * 1000)} ago`;
}

/** `sha256:0123456789ab`: long enough to be typed and told apart. */
export function shortKey(key: string): string {
  return key.replace(/\b(sha(?:256|512):[0-9a-f]{12})[0-9a-f]+/g, '$1');
}
