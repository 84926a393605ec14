// Reads a directory tree exactly, through inspector.py.

import { type Inspector, inspector } from './inspector.js';
import type { Tree, TreeEntry } from './tree.js';

export interface DumpOptions {
  /** Hash the content of files. Default true. */
  content?: boolean;
  inspector?: Inspector;
}

/** Everything at and below `directory`. Entries that are listed but cannot be read have type `unreadable:ERRNO`. */
export async function dumpTree(directory: string, options: DumpOptions = {}): Promise<Tree> {
  const lines = await (options.inspector ?? inspector()).request({
    op: 'dump',
    path: Buffer.from(directory).toString('latin1'),
    content: options.content ?? true,
  });
  const tree: Tree = new Map();
  for (const line of lines as unknown as DumpLine[]) {
    const entry: TreeEntry = {
      path: line.p,
      type: line.t,
      mode: line.m ?? 0,
      uid: line.u ?? 0,
      gid: line.g ?? 0,
      mtime: BigInt(line.T ?? 0),
      xattrs: line.x ?? {},
      inode: line.i ?? line.p,
      links: line.n ?? 0,
      ...(line.s === undefined ? {} : { size: line.s }),
      ...(line.h === undefined ? {} : { hash: line.h }),
      ...(line.b === undefined ? {} : { blocks: line.b }),
      ...(line.l === undefined ? {} : { target: line.l }),
      ...(line.r === undefined ? {} : { rdev: line.r }),
    };
    tree.set(entry.path, entry);
  }
  return tree;
}

// The short names that inspector.py writes.
interface DumpLine {
  p: string;
  t: string;
  m?: number;
  u?: number;
  g?: number;
  T?: string;
  i?: string;
  n?: number;
  x?: Record<string, string>;
  s?: number;
  h?: string;
  b?: number;
  l?: string;
  r?: string;
}
