// Tables of the store's commands.

import { describe, expect, it } from 'vitest';
import type { RunContext } from '../../src/cli/run-context.js';
import {
  agoOfEach,
  listing,
  listingOfLines,
  quietLines,
  quietText,
} from '../../src/cli/store/tables.js';

const context = { columns: 40, style: { bold: (text: string) => `<${text}>` } } as RunContext;

describe('a listing', () => {
  it('has a heading, and a line for each item that is safe to print', () => {
    const columns = [
      { head: 'NAME', text: (name: string) => name, most: 8 },
      { head: 'N', text: (_: string, index: number) => String(index * 1000), align: '>' as const },
      { head: 'LEFT', text: (name: string) => (name === 'ä' ? '' : 'x') },
    ];
    expect(listing(context, ['a\nb', 'ä', '0123456789', '\u202ee'], columns).split('\n')).toEqual([
      '<NAME         N  LEFT>',
      'a\\x0ab       0  x',
      'ä         1000',
      '0123…789  2000  x',
      '\\u{2…e}e  3000  x', // the escape is cut, too
    ]);
    expect(listing(context, [], columns)).toBe('<NAME  N  LEFT>');
  });

  it('of lines is the same', () => {
    const names = ['b', 'a\u200b', ''];
    const lines = listingOfLines(context, [
      { head: 'NAME', lines: names.join('\n') },
      { head: 'MORE', lines: names.map(() => 'y'.repeat(40)).join('\n') },
    ]);
    expect(lines).toBe(
      listing(context, names, [
        { head: 'NAME', text: (name) => name },
        { head: 'MORE', text: () => 'y'.repeat(40) },
      ]),
    );
    expect(lines.split('\n').map((line) => line.replaceAll('y', '').length)).toEqual([
      '<NAME       MORE>'.length,
      12,
      12,
      12,
    ]);
    expect(listingOfLines(context, [{ head: 'NAME', lines: '' }])).toBe('<NAME>');
  });
});

describe('a quiet list', () => {
  it('has a line for each name, and none for none', () => {
    expect(quietLines(['a', 'b\nc'])).toBe('a\nb\\x0ac\n');
    expect(quietLines([])).toBe('');
    expect(quietText('a\nb\x1b')).toBe('a\nb\\x1b\n');
    expect(quietText('')).toBe('');
  });
});

it('tells how long ago each of many times was', () => {
  const now = 1_000_000_000;
  const passed = agoOfEach(now);
  expect([now, now - 59_000, now - 59_100, now - 61_000].map(passed)).toEqual([
    '0 s ago',
    '59 s ago',
    '59 s ago',
    '1m01s ago',
  ]);
});
