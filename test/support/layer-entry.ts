// What one entry of a layer says, freed of the tar format: the tar builder writes it, the model of
// sequential apply reads it. Strings are UTF-8; a Buffer holds names that are not.

export type Bytes = string | Buffer;

export type EntryType = 'file' | 'hardlink' | 'symlink' | 'char' | 'block' | 'directory' | 'fifo';

/** A piece of data of a sparse file. */
export interface SparseExtent {
  offset: number;
  data: Buffer;
}

export interface LayerEntry {
  type: EntryType;
  path: Bytes;
  linkpath?: Bytes;
  /** The 12 permission bits. Default 0644, directories 0755, symlinks 0777. */
  mode?: number;
  uid?: number;
  gid?: number;
  /** Nanoseconds since the epoch. Default {@link defaultMtime}. */
  mtime?: bigint;
  /** Content of a file; a hardlink may carry one too. */
  content?: Bytes;
  /** Content of a sparse file, instead of `content`. */
  sparse?: { size: number; extents: SparseExtent[] };
  major?: number;
  minor?: number;
  /** Full names, e.g. `user.note`. */
  xattrs?: Record<string, Bytes>;
}

export const defaultMtime = 1_600_000_000_000_000_000n;

export function toBytes(value: Bytes): Buffer {
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
}

/** Bytes as a string of code points 0 to 255, so that they can be keys of a Map. */
export function toKey(value: Bytes): string {
  return toBytes(value).toString('latin1');
}

export function defaultMode(type: EntryType): number {
  return type === 'directory' ? 0o755 : type === 'symlink' ? 0o777 : 0o644;
}
