import { describe, expect, test } from 'vitest';
import {
  bar,
  formatBytes,
  formatDuration,
  plural,
  printable,
  shellPath,
  shellWord,
  shortDigest,
  table,
  truncate,
} from '../src/text.js';

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1023, '1.0 KiB'],
  [1536, '1.5 KiB'],
  [102_400, '100 KiB'],
  [1_048_575, '1.0 MiB'],
  [468 * 2 ** 20, '468 MiB'],
  [1.5 * 2 ** 40, '1.5 TiB'],
])('formatBytes(%d) is %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [0.4, '0 ms'],
  [312, '312 ms'],
  [999.9, '1.0 s'],
  [59_940, '59.9 s'],
  [59_990, '1m00s'],
  [192_000, '3m12s'],
  [3_599_900, '1h00m'],
  [7_500_000, '2h05m'],
])('formatDuration(%d) is %s', (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});

describe('printable', () => {
  test('writes what could drive a terminal as escapes', () => {
    expect(printable('a\x1b[2Jb\nc\x7f\x9b')).toBe('a\\x1b[2Jb\\x0ac\\x7f\\x9b');
  });
  test('writes what reorders or hides text as escapes', () => {
    expect(printable('x\u202egnp.exe\u200b')).toBe('x\\u{202e}gnp.exe\\u{200b}');
  });
  test('writes a lone surrogate as an escape', () => {
    expect(printable('\ud800')).toBe('\\u{d800}');
  });
  test('leaves letters of all scripts and spaces alone', () => {
    expect(printable('usr/Grüße 日本語 🙂')).toBe('usr/Grüße 日本語 🙂');
  });
});

test('bar fills in eighths of a column and stays within its width', () => {
  expect(bar(0, 4)).toBe('░░░░');
  expect(bar(0.5, 4)).toBe('██░░');
  expect(bar(0.53, 4)).toBe('██▏░');
  expect(bar(1, 4)).toBe('████');
  expect(bar(7, 4)).toBe('████');
  expect(bar(Number.NaN, 4)).toHaveLength(4);
});

test('truncate keeps what fits', () => {
  expect(truncate('abcdef', 6)).toBe('abcdef');
  expect(truncate('abcdefg', 6)).toBe('abcde…');
  expect(truncate('abc', 0)).toBe('…');
});

test('shellWord and shellPath', () => {
  expect(shellWord('a-b/c.d')).toBe('a-b/c.d');
  expect(shellWord("it's $HOME")).toBe("'it'\\''s $HOME'");
  expect(shellPath('-x')).toBe('./-x');
  expect(shellPath('-x y')).toBe("'./-x y'");
});

test('table aligns columns and leaves no space at line ends', () => {
  const rows = [
    ['layer', 'size', ''],
    ['0', '1 B', 'there'],
    ['10', '100 MiB', ''],
  ];
  expect(table(rows, ['>', '>', '<']).split('\n')).toEqual([
    'layer     size',
    '    0      1 B  there',
    '   10  100 MiB',
  ]);
});

test('plural and shortDigest', () => {
  expect(plural(1, 'layer')).toBe('1 layer');
  expect(plural(1234, 'layer')).toBe('1,234 layers');
  expect(shortDigest(`sha256:${'ab'.repeat(32)}`)).toBe('abababababab');
  expect(shortDigest('stream')).toBe('stream');
});
