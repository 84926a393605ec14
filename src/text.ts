// Text for terminals: sizes, durations, bars, tables, and the escaping of what came out of a layer.

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1.4 GiB`: three digits at most, binary units. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** `312 ms`, `4.2 s`, `3m12s`, `2h05m`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 999.5) {
    return `${Math.round(milliseconds)} ms`;
  }
  const seconds = milliseconds / 1000;
  if (seconds < 59.95) {
    return `${seconds.toFixed(1)} s`;
  }
  const minutes = Math.floor(Math.round(seconds) / 60);
  const rest = (count: number) => String(count).padStart(2, '0');
  return minutes < 60
    ? `${minutes}m${rest(Math.round(seconds) % 60)}s`
    : `${Math.floor(minutes / 60)}h${rest(minutes % 60)}m`;
}

/** `1,234,567`. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** `1 file`, `2 files`. */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** The first 12 digits of a digest, which tell the layers of an image apart. */
export function shortDigest(digest: string): string {
  const colon = digest.charCodeAt(6) === 0x3a ? 6 : digest.indexOf(':'); // sha256:, nearly always
  return colon < 0 ? digest : digest.slice(colon + 1, colon + 13);
}

/** {@link shortDigest} of each line. */
export function shortDigests(lines: string): string {
  return lines.replace(/^[^:\n]*:(.{0,12}).*$/gm, '$1');
}

/**
 * Text from an image made safe to print: control characters, which could drive the terminal, and characters that
 * reorder or hide text are written as escapes.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** Whether {@link printable} would surely leave it as it is: ASCII, and what marks a cut. */
export function isPrintable(text: string): boolean {
  return /^[ -~…]*$/.test(text);
}

/** {@link isPrintable} of each line. */
export function arePrintable(lines: string): boolean {
  return /^[ -~…\n]*$/.test(lines);
}

/** Text of /proc's lists of mounts, in which blanks and the like are octal numbers (proc(5)). */
export function unescapeMount(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** `text` as a word that a shell takes for it, in commands that are there to be copied. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:=,@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A path as {@link shellWord}, never one that a command takes for an option. */
export function shellPath(path: string): string {
  return shellWord(path.startsWith('-') ? `./${path}` : path);
}

/** A bar of `width` columns, `part` of it (0 to 1) filled, in eighths of a column. */
export function bar(part: number, width: number): string {
  const eighths = Math.round(Math.min(Math.max(part, 0), 1) * width * 8);
  const full = Math.floor(eighths / 8);
  const partial = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8] ?? '';
  return ('█'.repeat(full) + partial).padEnd(width, '░');
}

/** Cuts `text` to `width` columns, an ellipsis for what is missing. */
export function truncate(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(width - 1, 0))}…`;
}

/** Cuts the middle out, since the beginning and the end say most. */
export function shorten(text: string, most: number): string {
  if (text.length <= most) {
    return text;
  }
  const tail = Math.floor((most - 1) / 2);
  return `${text.slice(0, most - 1 - tail)}…${text.slice(text.length - tail)}`;
}

/** Columns of a {@link table}: `>` aligns right. */
export type Alignment = '<' | '>';

/** Rows as aligned columns, two spaces between them; no line ends in a space. */
export function table(
  rows: readonly (readonly string[])[],
  alignments: readonly Alignment[],
): string {
  const widths = alignments.map((_, column) =>
    Math.max(0, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const aligned = (cell: string, column: number) =>
    alignments[column] === '>'
      ? cell.padStart(widths[column] ?? 0)
      : cell.padEnd(widths[column] ?? 0);
  return rows.map((row) => row.map(aligned).join('  ').trimEnd()).join('\n');
}

/** Breaks text at spaces, so that it fits `width` columns; lines after the first begin with `hanging`. */
export function wrap(text: string, width = 80, hanging = '  '): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = `${hanging}${word}`;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
