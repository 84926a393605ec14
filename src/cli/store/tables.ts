// Tables of the store's commands: a heading, one line per thing, as wide as the terminal.

import { loadBinding } from '../../native/index.js';
import {
  type Alignment,
  arePrintable,
  formatDuration,
  isPrintable,
  printable,
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

/** A column whose cells are there as a text. */
export interface LinesColumn extends Omit<Column<never>, 'text'> {
  /** A line for each cell; none where there are no items. */
  lines: string;
}

/** A line for each item under headings, none longer than the terminal. */
export function listing<T>(
  context: RunContext,
  items: readonly T[],
  columns: readonly Column<T>[],
): string {
  const drawn = columns.map(({ text, ...column }) => {
    return { ...column, lines: allPrintable(items.map(text)).join('\n') };
  });
  return draw(context, drawn, items.length > 0);
}

/** {@link listing} of cells that are there as texts: of ten thousand items a tenth of its time. */
export function listingOfLines(context: RunContext, columns: readonly LinesColumn[]): string {
  const drawn = columns.map((column) => ({ ...column, lines: printableLines(column.lines) }));
  return draw(context, drawn, columns[0]?.lines !== '');
}

function draw(context: RunContext, columns: readonly LinesColumn[], hasItems: boolean): string {
  const table = loadBinding().drawTable({
    width: context.columns,
    columns: columns.map(({ head, lines, align, most }) => ({
      cells: hasItems ? `${head}\n${lines}` : head,
      alignRight: align === '>',
      most,
    })),
  });
  const endOfHead = table.indexOf('\n');
  return endOfHead < 0
    ? context.style.bold(table)
    : context.style.bold(table.slice(0, endOfHead)) + table.slice(endOfHead);
}

/** The texts, safe to print. */
function allPrintable(texts: string[]): string[] {
  // Almost always they are, and to look once at all of a long list takes a fifth of looking at each text.
  return isPrintable(texts.join('')) ? texts : texts.map(printable);
}

function printableLines(lines: string): string {
  return arePrintable(lines) ? lines : lines.split('\n').map(printable).join('\n');
}

/** One name in each line, for `--quiet`. */
export function quietLines(names: string[]): string {
  return ended(allPrintable(names).join('\n'));
}

/** {@link quietLines} of names that are there as a text of lines. */
export function quietText(names: string): string {
  return ended(printableLines(names));
}

function ended(lines: string): string {
  return lines === '' ? '' : `${lines}\n`;
}

/** {@link ago} of many times: many are of the same second. */
export function agoOfEach(now = Date.now()): (time: number) => string {
  const known = new Map<number, string>();
  return (time) => {
    const seconds = Math.round((now - time) / 1000);
    let text = known.get(seconds);
    if (text === undefined) {
      text = ago(time, now);
      known.set(seconds, text);
    }
    return text;
  };
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
