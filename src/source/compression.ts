// Which compression a file has, by its first bytes.

/** Kinds that are told apart; `none` stands for anything else. */
export type Compression = 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'lz4' | 'none';

const magics: readonly [Compression, readonly number[]][] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lz4', [0x04, 0x22, 0x4d, 0x18]],
];

/** As many bytes as {@link detectCompression} looks at. */
export const longestMagic = 6;

/** Tells the compression by the first {@link longestMagic} bytes (fewer at the end of a file). */
export function detectCompression(head: Uint8Array): Compression {
  // zstd's skippable frames have sixteen magics (RFC 8878 section 3.1.2).
  const [first = 0, second, third, fourth] = head;
  if (first >> 4 === 5 && second === 0x2a && third === 0x4d && fourth === 0x18) {
    return 'zstd';
  }
  const found = magics.find(([, magic]) => magic.every((byte, index) => head[index] === byte));
  return found?.[0] ?? 'none';
}
