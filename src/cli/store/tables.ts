// Tables of the store's commands: a heading, one line per thing, as wide as the terminal.

import {
  type Alignment,
  formatDuration,
  isPrintable,
  printable,
  tableLines,
  truncate,
} from '../../text.js';
import type { RunContext } from '../run-context.js';

/** A column: its heading, how it is aligned, and the most characters that it may take. */
export interface Column {
  head: string;
  align?: Alignment;
  /** Longer ones are cut in the middle. */
  most?: number;
}

/** Rows under headings, no line longer than the terminal. */
export function listing(
  context: RunContext,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string[] {
  // Almost always it is, and to look once at all of a long list takes a fifth of looking at each cell.
  const isPlain = isPrintable(rows.map((row) => row.join('')).join(''));
  const most = columns.map((column) => column.most ?? Number.POSITIVE_INFINITY);
  const cells: (readonly string[])[] = [columns.map(({ head }) => head)];
  for (const row of rows) {
    const isShown = isPlain && row.every((cell, at) => cell.length <= (most[at] as number));
    cells.push(
      isShown ? row : row.map((cell, at) => shorten(isPlain ? cell : printable(cell), most[at])),
    );
  }
  const lines = tableLines(
    cells,
    columns.map(({ align }) => align ?? '<'),
  );
  for (let at = 0; at < lines.length; at++) {
    lines[at] = truncate(lines[at] as string, context.columns);
  }
  lines[0] = context.style.bold(lines[0] as string);
  return lines;
}

/** One name in each line, for `--quiet`. */
export function quietLines(names: readonly string[]): string {
  // As in listing: once for all.
  const shown = isPrintable(names.join('')) ? names : names.map(printable);
  return shown.length === 0 ? '' : `${shown.join('\n')}\n`;
}

/** Cuts the middle out, since the ends tell names apart. */
export function shorten(text: string, most = Number.POSITIVE_INFINITY): string {
  if (text.length <= most) {
    return text;
  }
  const tail = Math.floor((most - 1) / 2);
  return `${text.slice(0, most - 1 - tail)}…${text.slice(text.length - tail)}`;
}

/** `3m12s ago`, of milliseconds since 1970. */
export function ago(time: number, now = Date.now()): string {
  const passed = Math.max(0, now - time);
  const days = Math.floor(passed / 86_400_000);
  return days >= 2 ? `${days} days ago` : `${formatDuration(Math.round(passed / 1000) * 1000)} ago`;
}

/** `sha256:0123456789ab`: long enough to be typed and told apart. */
export function shortKey(key: string): string {
  return key.replace(/\b(sha(?:256|512):[0-9a-f]{12})[0-9a-f]+/g, '$1');
}
