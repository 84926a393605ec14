// What the demo's image is made of, entry by entry: the image is written from this list, and so is the truth.

/** One entry of a layer. Paths are relative, without `./` and trailing slash; the root is the empty path. */
export interface DemoEntry {
  path: string;
  type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'whiteout' | 'opaque';
  mode: number;
  uid: number;
  gid: number;
  /** Nanoseconds since the epoch. */
  mtime: bigint;
  /** Content of a file: the path of a real file, or its bytes. */
  content?: { file: string } | { bytes: Buffer };
  /** Target of a symlink or hardlink. */
  target?: string;
  /** Extended attributes, name to value. */
  xattrs?: Record<string, Buffer>;
}

/** One layer, bottom first in the image. */
export interface DemoLayer {
  title: string;
  entries: DemoEntry[];
}

/** Times of what the demo itself invents; with nanoseconds, which the comparison must find again. */
export const inventedTime = 1_700_000_000_123_456_789n;

/** A directory that belongs to root. */
export function directory(path: string, mode = 0o755): DemoEntry {
  return { path, type: 'directory', mode, uid: 0, gid: 0, mtime: inventedTime };
}

/** A file that belongs to root. */
export function file(path: string, text: string | Buffer, mode = 0o644): DemoEntry {
  return { ...directory(path, mode), type: 'file', content: { bytes: Buffer.from(text) } };
}
