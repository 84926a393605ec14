// Builds any tar, legal or hostile, byte by byte. `tar([...])` takes entries in the order they are to
// have; what is legal needs only a LayerEntry, what is not is said by raw header fields, raw pax bodies or
// raw bytes.

import {
  type Bytes,
  defaultMode,
  defaultMtime,
  type EntryType,
  type LayerEntry,
  toBytes,
} from './layer-entry.js';
import {
  type ChecksumKind,
  type HeaderOverrides,
  header,
  magics,
  number,
  octal,
  padded,
} from './tar-header.js';
import { type PaxRecords, paxBody, paxHeader, paxTime } from './tar-pax.js';
import { type SparseForm, sparseParts } from './tar-sparse.js';

export interface TarEntry extends LayerEntry {
  /**
   * How what does not fit a plain header is said: by pax records (default), by GNU long names and base-256
   * numbers, or not at all (`v7`: no magic; `ustar`: with the prefix field).
   */
  style?: 'pax' | 'gnu' | 'ustar' | 'v7';
  /** Raw bytes of header fields, put in last. */
  fields?: HeaderOverrides;
  checksum?: ChecksumKind;
  /** Further pax records, after the ones that the entry needs. */
  pax?: PaxRecords;
  /** The whole body of the pax header, as it is. */
  rawPax?: Buffer;
  xattrStyle?: 'SCHILY' | 'LIBARCHIVE';
  sparseForm?: SparseForm;
  /** The size field of the header, where it shall not be the body's length. */
  size?: number | bigint;
  /** Write no body, or another one, whatever the size says. Not padded. */
  rawBody?: Buffer;
}

export type TarItem = TarEntry | { raw: Buffer } | { global: PaxRecords | Buffer };

export interface TarOptions {
  /** Blocks of zeros at the end. Default 2. */
  trailer?: number;
  /** Bytes after the trailer. */
  after?: Buffer;
}

/** The bytes of a tar. */
export function tar(items: readonly TarItem[], options: TarOptions = {}): Buffer {
  return Buffer.concat([
    ...items.map(encodeItem),
    Buffer.alloc(512 * (options.trailer ?? 2)),
    options.after ?? Buffer.alloc(0),
  ]);
}

/** The bytes of one item, without any trailer. */
export function encodeItem(item: TarItem): Buffer {
  if ('raw' in item) {
    return item.raw;
  }
  if ('global' in item) {
    return paxHeader(Buffer.isBuffer(item.global) ? item.global : paxBody(item.global), 'g');
  }
  return encodeEntry(item);
}

const typeflags: Record<EntryType, string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

function encodeEntry(entry: TarEntry): Buffer {
  const style = entry.style ?? 'pax';
  const name = toBytes(entry.path);
  const link = toBytes(entry.linkpath ?? '');
  const pax: [Bytes, Bytes][] = [];
  const before: Buffer[] = [];
  const fields: HeaderOverrides = {
    mode: octal(entry.mode ?? defaultMode(entry.type), 8),
    typeflag: typeflags[entry.type],
    magic: magics[style === 'pax' ? 'ustar' : style],
  };
  if (entry.type === 'char' || entry.type === 'block') {
    fields.devmajor = number(entry.major ?? 0, 8);
    fields.devminor = number(entry.minor ?? 0, 8);
  }

  let body = toBytes(entry.content ?? '');
  let extension: Buffer = Buffer.alloc(0);
  let realName = name;
  if (entry.sparse !== undefined) {
    const form = entry.sparseForm ?? '1.0';
    const { size, extents } = entry.sparse;
    const parts = sparseParts(form, name, size, extents);
    Object.assign(fields, parts.fields);
    extension = parts.extension;
    pax.push(...parts.pax);
    body = parts.body;
    if (form === 'old-gnu') {
      fields.magic = magics.gnu;
    } else if (form !== '0.0') {
      realName = Buffer.from('GNUSparseFile.0/x');
    }
  }

  for (const [field, value] of [
    ['path', realName],
    ['linkpath', link],
  ] as const) {
    const key = field === 'path' ? 'name' : 'linkname';
    fields[key] = value.subarray(0, 100);
    if (value.length <= 100) {
      continue;
    }
    if (style === 'pax') {
      pax.push([field, value]);
    } else if (style === 'gnu') {
      before.push(gnuLong(field === 'path' ? 'L' : 'K', value));
    } else if (style === 'ustar' && field === 'path') {
      Object.assign(fields, splitName(value));
    } else {
      throw new RangeError(`${field}: ${value.length} bytes do not fit a ${style} header`);
    }
  }

  const big = style === 'gnu' ? number : octal;
  for (const field of ['uid', 'gid'] as const) {
    const value = entry[field] ?? 0;
    const fits = value >= 0 && value <= 0o7777777;
    fields[field] = fits || style !== 'pax' ? big(value, 8) : octal(0, 8);
    if (!fits && style === 'pax') {
      pax.push([field, String(value)]);
    }
  }
  const mtime = entry.mtime ?? defaultMtime;
  const seconds = mtime / 1_000_000_000n;
  const plainTime = mtime >= 0n && mtime % 1_000_000_000n === 0n && seconds < 8n ** 11n;
  if (plainTime || style !== 'pax') {
    fields.mtime = big(seconds, 12);
  } else {
    fields.mtime = octal(0, 12);
    pax.push(['mtime', paxTime(mtime)]);
  }
  fields.size = number(entry.size ?? body.length, 12);

  const prefix = entry.xattrStyle ?? 'SCHILY';
  for (const [key, value] of Object.entries(entry.xattrs ?? {})) {
    pax.push(
      prefix === 'SCHILY'
        ? [`SCHILY.xattr.${key}`, value]
        : [`LIBARCHIVE.xattr.${encodeURIComponent(key)}`, toBytes(value).toString('base64')],
    );
  }
  pax.push(...((entry.pax ?? []) as [Bytes, Bytes][]));
  if (entry.rawPax !== undefined) {
    before.push(paxHeader(entry.rawPax));
  } else if (pax.length > 0) {
    before.push(paxHeader(paxBody(pax)));
  }

  return Buffer.concat([
    ...before,
    header({ ...fields, ...entry.fields }, entry.checksum),
    extension,
    entry.rawBody ?? padded(body),
  ]);
}

/** A GNU long name (`L`) or long link target (`K`), which holds for the next entry. */
export function gnuLong(typeflag: 'L' | 'K', value: Bytes, end = '\0'): Buffer {
  const body = Buffer.concat([toBytes(value), Buffer.from(end)]);
  const block = header({
    name: '././@LongLink',
    mode: octal(0, 8),
    uid: octal(0, 8),
    gid: octal(0, 8),
    size: octal(body.length, 12),
    mtime: octal(0, 12),
    typeflag,
    magic: magics.gnu,
  });
  return Buffer.concat([block, padded(body)]);
}

function splitName(name: Buffer): { prefix: Buffer; name: Buffer } {
  for (let i = Math.min(155, name.length - 2); i > 0; i--) {
    if (name[i] === 0x2f && name.length - i - 1 <= 100) {
      return { prefix: name.subarray(0, i), name: name.subarray(i + 1) };
    }
  }
  throw new RangeError('the name cannot be split into prefix and name');
}

type Options = Omit<TarEntry, 'type' | 'path'>;

export function file(path: Bytes, content: Bytes = '', options: Options = {}): TarEntry {
  return { type: 'file', path, content, ...options };
}

export function dir(path: Bytes, options: Options = {}): TarEntry {
  return { type: 'directory', path, ...options };
}

export function symlink(path: Bytes, linkpath: Bytes, options: Options = {}): TarEntry {
  return { type: 'symlink', path, linkpath, ...options };
}

export function hardlink(path: Bytes, linkpath: Bytes, options: Options = {}): TarEntry {
  return { type: 'hardlink', path, linkpath, ...options };
}

export function device(
  path: Bytes,
  type: 'char' | 'block',
  major: number,
  minor: number,
  options: Options = {},
): TarEntry {
  return { type, path, major, minor, ...options };
}

export function fifo(path: Bytes, options: Options = {}): TarEntry {
  return { type: 'fifo', path, ...options };
}

/** The whiteout of `path`: an empty file `.wh.NAME` beside it. */
export function whiteout(path: string, options: Options = {}): TarEntry {
  const slash = path.lastIndexOf('/') + 1;
  return file(`${path.slice(0, slash)}.wh.${path.slice(slash)}`, '', options);
}

/** The opaque marker of the directory `path`; '' is the root. */
export function opaque(path: string, options: Options = {}): TarEntry {
  return file(path === '' ? '.wh..wh..opq' : `${path}/.wh..wh..opq`, '', options);
}
