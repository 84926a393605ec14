// One header block of a tar, and the records of a pax header.

import { UnpackError } from '../errors.js';

/** Bytes of a header, and what bodies are padded to. */
export const blockSize = 512;

/** What a header block says. */
export interface TarHeader {
  /** The typeflag, one character. */
  type: string;
  name: string;
  link: string;
  /** Bytes; a safe integer. */
  size: number;
  /** Blocks of an old GNU sparse map follow. */
  extended: boolean;
}

/** Records of a pax header, by keyword. */
export type PaxRecords = Map<string, string>;

/** True for the block that ends an archive. */
export function isZeroBlock(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

/** Takes a header block apart; `ERR_INVALID_TAR` with `where` when its checksum or its size is wrong. */
export function parseTarHeader(block: Buffer, where: string): TarHeader {
  const recorded = parseNumber(block.subarray(148, 156), where, 'checksum');
  const { unsigned, signed } = checksums(block);
  if (recorded !== unsigned && recorded !== signed) {
    throw new UnpackError('ERR_INVALID_TAR', `${where}: wrong checksum`);
  }
  const type = String.fromCharCode(block[156] ?? 0);
  const magic = block.toString('latin1', 257, 265);
  const name = textUntilNul(block.subarray(0, 100));
  const isGnu = magic === 'ustar  \0';
  const prefix = magic.startsWith('ustar\0') ? textUntilNul(block.subarray(345, 500)) : '';
  return {
    type,
    name: prefix === '' ? name : `${prefix}/${name}`,
    link: textUntilNul(block.subarray(157, 257)),
    size: parseNumber(block.subarray(124, 136), where, 'size'),
    extended: type === 'S' && isGnu && block[482] === 1,
  };
}

/** Parses `LENGTH KEYWORD=VALUE\n` records; `ERR_INVALID_TAR` with `where` when they are malformed. */
export function parsePax(bytes: Buffer, where: string): PaxRecords {
  const records: PaxRecords = new Map();
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    const digits = space === -1 ? '' : bytes.toString('latin1', at, space);
    const length = /^[1-9]\d{0,9}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    const equals = space === -1 ? -1 : bytes.indexOf(0x3d, space + 1);
    if (
      length === 0 ||
      end > bytes.length ||
      bytes[end - 1] !== 0x0a ||
      equals <= space + 1 ||
      equals >= end
    ) {
      throw new UnpackError('ERR_INVALID_TAR', `${where}: malformed record at ${at}`);
    }
    records.set(
      bytes.toString('utf8', space + 1, equals),
      bytes.toString('utf8', equals + 1, end - 1),
    );
    at = end;
  }
  return records;
}

/** The text of a field up to its first NUL. */
export function textUntilNul(bytes: Buffer): string {
  const nul = bytes.indexOf(0);
  return bytes.toString('utf8', 0, nul === -1 ? bytes.length : nul);
}

/** POSIX sums the bytes as unsigned; some old implementations took them as signed. */
function checksums(block: Buffer): { unsigned: number; signed: number } {
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < blockSize; i++) {
    // The checksum's own field counts as blanks.
    const byte = i >= 148 && i < 156 ? 0x20 : (block[i] ?? 0);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  return { unsigned, signed };
}

/** Octal digits between blanks and NULs, or GNU's base-256 with the top bit set. */
function parseNumber(field: Buffer, where: string, what: string): number {
  const first = field[0] ?? 0;
  let value = 0;
  if (first & 0x80) {
    // 0xff leads a negative number, which nothing read here can be.
    value = first === 0x80 ? 0 : Number.NaN;
    for (const byte of field.subarray(1)) {
      value = value * 256 + byte;
    }
  } else {
    const digits = /^[ \0]*([0-7]*)[ \0]*$/.exec(field.toString('latin1'))?.[1];
    value = digits === undefined ? Number.NaN : Number.parseInt(digits === '' ? '0' : digits, 8);
  }
  if (!Number.isSafeInteger(value)) {
    throw new UnpackError('ERR_INVALID_TAR', `${where}: malformed ${what}`);
  }
  return value;
}
