// A tar of a few small entries, in memory: ustar headers (POSIX, "ustar Interchange Format") and nothing else.

/** A directory, or a file with text in it. */
export interface TarEntry {
  type: 'directory' | 'file';
  /** Relative, no slash at either end; at most 100 bytes. */
  path: string;
  content?: string;
}

const blockBytes = 512;
/** Of all entries, so that the image is the same each time: 2020-01-01. */
export const entrySeconds = 1_577_836_800;

/** Mode of files and directories. */
export function modeOf({ type }: TarEntry): number {
  return type === 'directory' ? 0o755 : 0o644;
}

/** The tar, with the two blocks that end it. */
export function writeTar(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap((entry) => {
    const body = Buffer.from(entry.content ?? '');
    const padding = Buffer.alloc((blockBytes - (body.length % blockBytes)) % blockBytes);
    return [header(entry, body.length), body, padding];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * blockBytes)]);
}

function header(entry: TarEntry, size: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, width: number) =>
    block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1');
  block.write(entry.type === 'directory' ? `${entry.path}/` : entry.path, 0);
  octal(modeOf(entry), 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(entrySeconds, 136, 12);
  block.write('        ', 148, 'latin1'); // the checksum counts as spaces while it is taken
  block.write(entry.type === 'directory' ? '5' : '0', 156, 'latin1');
  block.write('ustar\0', 257, 'latin1');
  block.write('00', 263, 'latin1');
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return block;
}
