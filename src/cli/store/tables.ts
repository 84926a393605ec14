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
  const heads = columns.map(({ head }) => head);
  const alignments = columns.map(({ align }) => align ?? '<');
  const most = columns.map((column) => column.most ?? Number.POSITIVE_INFINITY);
  const draw = (show?: (cell: string) => string) =>
    tableLines([heads, ...rows.map((row) => shownRow(row, most, show))], alignments);
  let lines = draw();
  // Almost always they are, and to look once at all of a long list takes a fifth of looking at each cell.
  if (!isPrintable(lines.join(''))) {
    lines = draw(printable);
  }
  const width = context.columns;
  if (lines.some(({ length }) => length > width)) {
    lines = lines.map((line) => truncate(line, width));
  }
  lines[0] = context.style.bold(lines[0] as string);
  return lines;
}

/** The cells through `show`, and cut where one takes too much. */
function shownRow(
  row: readonly string[],
  most: readonly number[],
  show?: (cell: string) => string,
): readonly string[] {
  const cells = show === undefined ? row : row.map(show);
  for (let at = 0; at < cells.length; at++) {
    if ((cells[at] as string).length > (most[at] as number)) {
      return cells.map((cell, index) => shorten(cell, most[index]));
    }
  }
  return cells;
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
