// Tables of the store's commands: a heading, one line per thing, as wide as the terminal.

import type { RunContext } from '../run-context.js';
import { type Alignment, formatDuration, printable, table, truncate } from '../text.js';

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
  const cells = rows.map((row) =>
    row.map((cell, at) => shorten(printable(cell), columns[at]?.most ?? Number.POSITIVE_INFINITY)),
  );
  const text = table(
    [columns.map(({ head }) => head), ...cells],
    columns.map(({ align }) => align ?? '<'),
  );
  const [head = '', ...lines] = text.split('\n').map((line) => truncate(line, context.columns));
  return [context.style.bold(head), ...lines];
}

/** Cuts the middle out, since the ends tell names apart. */
export function shorten(text: string, most: number): string {
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
