// One 512-byte tar header, field by field: every field can be set to any bytes, legal or not.
// Layout: POSIX.1-2001 pax, "ustar Interchange Format"; GNU tar's tar.h for the GNU variant.

import { type Bytes, toBytes } from './layer-entry.js';

export const blockSize = 512;

/** Offset and size of each field. The sparse fields are GNU's and lie over `prefix`. */
export const headerFields = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  typeflag: [156, 1],
  linkname: [157, 100],
  magic: [257, 8],
  uname: [265, 32],
  gname: [297, 32],
  devmajor: [329, 8],
  devminor: [337, 8],
  prefix: [345, 155],
  gnuSparse: [386, 96],
  gnuIsExtended: [482, 1],
  gnuRealSize: [483, 12],
} as const satisfies Record<string, readonly [number, number]>;

export type HeaderField = keyof typeof headerFields;

/** Raw bytes of fields; what is shorter than the field is filled up with NULs. */
export type HeaderOverrides = Partial<Record<HeaderField, Bytes>>;

export const magics = { ustar: 'ustar\x0000', gnu: 'ustar  \0', v7: '\0' } as const;

/** `value` as octal digits and a NUL, filling `size` bytes. */
export function octal(value: number | bigint, size: number): Buffer {
  const digits = value.toString(8).padStart(size - 1, '0');
  if (digits.length > size - 1) {
    throw new RangeError(`${value} needs more than ${size - 1} octal digits`);
  }
  return Buffer.from(`${digits}\0`, 'latin1');
}

/** `value`, also negative, in GNU's base-256 form: two's complement, the top bit of the first byte set. */
export function base256(value: number | bigint, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let rest = BigInt(value);
  for (let i = size - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  bytes[0] = (bytes[0] as number) | 0x80;
  return bytes;
}

/** Octal where it fits, else base-256. */
export function number(value: number | bigint, size: number): Buffer {
  const big = BigInt(value);
  return big >= 0n && big.toString(8).length < size ? octal(big, size) : base256(big, size);
}

export type ChecksumKind = 'unsigned' | 'signed' | 'wrong';

/** Puts a header together; a `checksum` among the fields is taken as it is. */
export function header(fields: HeaderOverrides, checksum: ChecksumKind = 'unsigned'): Buffer {
  const block = Buffer.alloc(blockSize);
  for (const name of Object.keys(fields) as HeaderField[]) {
    const [offset, size] = headerFields[name];
    const bytes = toBytes(fields[name] as Bytes);
    if (bytes.length > size) {
      throw new RangeError(`${name}: ${bytes.length} bytes do not fit into ${size}`);
    }
    bytes.copy(block, offset);
  }
  if (fields.checksum === undefined) {
    const [offset, size] = headerFields.checksum;
    block.fill(0x20, offset, offset + size);
    const sum = checksumOf(block, checksum === 'signed') + (checksum === 'wrong' ? 1 : 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, offset, 'latin1');
  }
  return block;
}

function checksumOf(block: Buffer, signed: boolean): number {
  let sum = 0;
  for (const byte of block) {
    sum += signed && byte > 127 ? byte - 256 : byte;
  }
  return sum;
}

/** `body` filled up with NULs to whole blocks. */
export function padded(body: Buffer): Buffer {
  const rest = body.length % blockSize;
  return rest === 0 ? body : Buffer.concat([body, Buffer.alloc(blockSize - rest)]);
}
