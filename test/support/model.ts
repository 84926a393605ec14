// A model of sequential apply in memory, written from SEMANTICS.md ("The one rule") and from nothing of
// native/: per layer first the whiteouts, against the lower layers only, then the entries in tar order. What
// the page leaves open, and what is chosen here:
//
//  1. `..` in an entry's path is taken away before any symlink is followed (`a/../b` is `b`); in the target of a
//     symlink it goes up from the real directory and stops at the root.
//  2. Parents that pass through symlinks of this layer are followed whatever the policy says; the policy is about
//     symlinks of lower layers. A dangling one is followed too, and its target made. 40 is the limit.
//  3. Implicit directories that exist nowhere below: 0755 0:0, mtime 0, no xattrs; the root likewise.
//  4. A directory over a directory replaces the xattrs too: what the new entry does not name is gone.
//  5. A whiteout is dropped and makes nothing when a proper lexical ancestor of what it names is whited out too.
//     All other markers make the directory they lie in, also where what it lies in is hidden; an opaque marker does so
//     even if its directory is whited out.
//  6. A marker below a path that this layer has as a directory of its own, where the lower layers have a symlink,
//     does not follow that symlink: `lib/` and `lib/.wh..wh..opq` over `lib -> usr/lib` is how a new opaque
//     directory in overlayfs is written, and must not empty usr/lib.
//  7. A deferred hardlink is a placeholder, which a later entry of its path replaces; what is left is linked after
//     the last entry, to what its target is then.
//  8. The parents of a hardlink are made first, then its target is looked up, then what stands in its place is
//     removed; where that removes the target, the layer is refused. A hardlink with a body whose target is there is
//     that link and the body is passed over; without a target it is a file of its own.
//  9. The metadata of a hardlink's entry counts for nothing. A link that is there already is left.
// 10. `.wh.NAME/x` (a whiteout as a parent) is refused; all below `.wh..wh.*` is bookkeeping.
// 11. Hard links to one `.wh..wh.plnk` file are links of one another.
// 12. Overlay xattrs of both families are escaped in every format: the kernel shows the own family of a mount
//     unescaped, the other one as it lies on disk.

import {
  type Bytes,
  defaultMode,
  defaultMtime,
  type LayerEntry,
  type SparseExtent,
  toBytes,
  toKey,
} from './layer-entry.js';
import { contentHash, type Tree, type TreeEntry } from './tree.js';

export interface ModelOptions {
  symlinkParents?: 'follow' | 'replace' | 'error';
  overlayXattrs?: 'escape' | 'strip' | 'error';
  deviceWhiteouts?: 'error' | 'accept';
}

export type ModelFormat = 'overlay' | 'overlay-userxattr' | 'aufs' | 'flat';

/** A layer that must be refused; `code` is the one of UnpackError. */
export class ModelError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(`${code}: ${message}`);
  }
}

interface Inode {
  id: number;
  type: LayerEntry['type'] | 'pending';
  mode: number;
  uid: number;
  gid: number;
  mtime: bigint;
  xattrs: Map<string, string>;
  size: number;
  hash: string;
  /** Target of a symlink; of a pending hardlink. */
  target: string;
  rdev: string;
  children: Map<string, Name>;
}

/** A name in a directory; `layer` is the topmost layer that says something of it. */
interface Name {
  inode: Inode;
  layer: number;
}

interface Marker {
  /** Of a whiteout what it hides, of an opaque marker the directory. Cleaned, symlinks not followed. */
  path: string[];
  opaque: boolean;
}

const maxSymlinks = 40;
const maxNameBytes = 255;

/** Of contents, which do not change: whoever generates images tries the same entry again and again. */
const hashes = new WeakMap<object, string>();

export class Model {
  /** How often an implicit directory has taken the place of something else: most unpackers refuse to. */
  replacedParents = 0;
  /** Whether a layer has several markers and one of them passes through a symlink: then their order matters to most. */
  entangledMarkers = false;
  readonly #options: Required<ModelOptions>;
  #nextInode = 1;
  #layer = -1;
  #root: Name;
  #plinks = new Map<string, Inode>();

  constructor(options: ModelOptions = {}) {
    this.#options = {
      symlinkParents: 'follow',
      overlayXattrs: 'escape',
      deviceWhiteouts: 'error',
      ...options,
    };
    this.#root = { inode: this.#implicitDirectory(), layer: 0 };
  }

  /** A copy that shares nothing. */
  clone(): Model {
    const copy = new Model(this.#options);
    const inodes = new Map<Inode, Inode>();
    const copyInode = (inode: Inode): Inode => {
      let made = inodes.get(inode);
      if (made === undefined) {
        made = { ...inode, xattrs: new Map(inode.xattrs), children: new Map() };
        inodes.set(inode, made);
        for (const [key, name] of inode.children) {
          made.children.set(key, { inode: copyInode(name.inode), layer: name.layer });
        }
      }
      return made;
    };
    copy.#root = { inode: copyInode(this.#root.inode), layer: this.#root.layer };
    copy.#nextInode = this.#nextInode;
    copy.#layer = this.#layer;
    return copy;
  }

  /** Applies one layer on top of what is there. After an error the model is of no use. */
  apply(entries: readonly LayerEntry[]): void {
    this.#layer++;
    this.#plinks = new Map();
    const markers: Marker[] = [];
    const plain: { entry: LayerEntry; path: string[] }[] = [];
    const ownDirectories = new Set<string>();
    for (const entry of entries) {
      const path = cleanPath(toKey(entry.path), 'ERR_INVALID_ENTRY');
      const marker = this.#markerOf(entry, path);
      if (marker === 'bookkeeping') {
        this.#bookkeeping(entry, path);
      } else if (marker !== undefined) {
        markers.push(marker);
      } else {
        plain.push({ entry, path });
        if (entry.type === 'directory') {
          ownDirectories.add(path.join('/'));
        }
      }
    }
    this.#applyMarkers(markers, ownDirectories);
    for (const { entry, path } of plain) {
      this.#applyEntry(entry, path);
    }
    this.#linkPending();
  }

  /** The tree as a mount of `format` shows it. */
  tree(format: ModelFormat = 'overlay'): Tree {
    const tree: Tree = new Map();
    const visit = (name: Name, path: string): void => {
      tree.set(path, this.#treeEntry(name, path, format));
      for (const [key, child] of name.inode.children) {
        visit(child, path === '' ? key : `${path}/${key}`);
      }
    };
    visit(this.#root, '');
    return tree;
  }

  // --- whiteouts and opaque markers -------------------------------------------------------------

  #markerOf(entry: LayerEntry, path: string[]): Marker | 'bookkeeping' | undefined {
    const parents = path.slice(0, -1);
    const last = path.at(-1);
    if (parents.some((part) => part.startsWith('.wh..wh.'))) {
      return 'bookkeeping';
    }
    if (parents.some((part) => part.startsWith('.wh.'))) {
      throw new ModelError('ERR_INVALID_ENTRY', `${path.join('/')}: a whiteout is no directory`);
    }
    if (last === '.wh..wh..opq') {
      return { path: parents, opaque: true };
    }
    if (last?.startsWith('.wh..wh.')) {
      return 'bookkeeping';
    }
    if (last?.startsWith('.wh.')) {
      const name = last.slice('.wh.'.length);
      if (name === '' || name === '.' || name === '..') {
        throw new ModelError('ERR_INVALID_ENTRY', `${path.join('/')}: names nothing`);
      }
      return { path: [...parents, name], opaque: false };
    }
    if (entry.type === 'char' && (entry.major ?? 0) === 0 && (entry.minor ?? 0) === 0) {
      if (this.#options.deviceWhiteouts === 'error') {
        throw new ModelError('ERR_DEVICE', `${path.join('/')}: a device 0:0`);
      }
      return { path, opaque: false };
    }
    return undefined;
  }

  #applyMarkers(markers: Marker[], ownDirectories: Set<string>): void {
    const whitedOut = new Set(markers.filter((m) => !m.opaque).map((m) => m.path.join('/')));
    const standing = markers.filter(
      ({ path, opaque }) =>
        opaque || path.every((_, i) => !whitedOut.has(path.slice(0, i).join('/'))),
    );
    // All are resolved before the first is executed: they speak of the lower layers.
    const resolved = standing.map(({ path, opaque }) => {
      if (opaque) {
        return { opaque, parent: this.#resolveDirectory(path, ownDirectories), name: '' };
      }
      const parent = this.#resolveDirectory(path.slice(0, -1), ownDirectories);
      return { opaque, parent, name: path.at(-1) as string };
    });
    this.entangledMarkers ||=
      markers.length > 1 &&
      markers.some(({ path }) => path.some((_, i) => this.#isSymlink(path.slice(0, i))));
    for (const { opaque, parent, name } of resolved) {
      const directory = this.#directoryAt(parent);
      if (opaque) {
        directory?.children.clear();
      } else {
        directory?.children.delete(name);
      }
    }
    for (const { parent } of resolved) {
      this.#makeDirectories(parent);
    }
  }

  // --- entries ----------------------------------------------------------------------------------

  #applyEntry(entry: LayerEntry, path: string[]): void {
    const name = path.at(-1);
    if (name === undefined) {
      if (entry.type !== 'directory') {
        throw new ModelError('ERR_INVALID_ENTRY', `the root as a ${entry.type}`);
      }
      this.#setMetadata(this.#root.inode, entry);
      return;
    }
    const parentPath = this.#resolveDirectory(path.slice(0, -1));
    const parent = this.#makeDirectories(parentPath);
    const existing = parent.children.get(name)?.inode;
    if (entry.type === 'hardlink') {
      this.#applyHardlink(entry, parent, parentPath, name);
      return;
    }
    if (entry.type === 'symlink' && toKey(entry.linkpath ?? '') === '') {
      throw new ModelError('ERR_INVALID_ENTRY', `${path.join('/')}: a symlink to nothing`);
    }
    const inode =
      entry.type === 'directory' && existing?.type === 'directory'
        ? existing
        : this.#newInode(entry.type);
    this.#setMetadata(inode, entry);
    this.#setContent(inode, entry);
    parent.children.set(name, { inode, layer: this.#layer });
  }

  #applyHardlink(entry: LayerEntry, parent: Inode, parentPath: string[], name: string): void {
    const linkpath = toKey(entry.linkpath ?? '');
    const own = [...parentPath, name].join('/');
    const target = this.#linkTarget(linkpath, own);
    if (target?.real.startsWith(`${own}/`)) {
      throw new ModelError('ERR_LINK_TARGET', `${own}: lies in what the link replaces`);
    }
    if (target === undefined && toBytes(entry.content ?? '').length > 0) {
      const inode = this.#newInode('file');
      this.#setMetadata(inode, { ...entry, type: 'file' });
      this.#setContent(inode, { ...entry, type: 'file' });
      parent.children.set(name, { inode, layer: this.#layer });
      return;
    }
    if (target === undefined || target.name.inode.type === 'pending') {
      const pending = this.#newInode('pending');
      pending.target = linkpath;
      parent.children.set(name, { inode: pending, layer: this.#layer });
      return;
    }
    target.name.layer = this.#layer;
    parent.children.set(name, { inode: target.name.inode, layer: this.#layer });
  }

  /** What a hardlink at `own` points to now; nothing where its target does not exist (yet). */
  #linkTarget(linkpath: string, own: string): { real: string; name: Name } | undefined {
    const path = cleanPath(linkpath, 'ERR_INVALID_ENTRY');
    const last = path.at(-1);
    if (last === undefined) {
      throw new ModelError('ERR_INVALID_ENTRY', `${own}: a hard link to the root`);
    }
    if (path[0] === '.wh..wh.plnk') {
      const inode = this.#plinks.get(last);
      return inode && { real: path.join('/'), name: { inode, layer: this.#layer } };
    }
    const parent = this.#resolveDirectory(path.slice(0, -1), undefined, true);
    const real = [...parent, last].join('/');
    if (real === own) {
      throw new ModelError('ERR_INVALID_ENTRY', `${own}: a hard link to itself`);
    }
    const name = this.#directoryAt(parent)?.children.get(last);
    if (name?.inode.type === 'directory') {
      throw new ModelError('ERR_INVALID_ENTRY', `${own}: a hard link to a directory`);
    }
    return name && { real, name };
  }

  #linkPending(): void {
    for (;;) {
      const pending = this.#pendingNames();
      let progress = false;
      for (const { path, name } of pending) {
        const target = this.#linkTarget(name.inode.target, path);
        if (target !== undefined && target.name.inode.type !== 'pending') {
          name.inode = target.name.inode;
          target.name.layer = this.#layer;
          progress = true;
        }
      }
      if (pending.length === 0) {
        return;
      }
      if (!progress) {
        const { path, name } = pending[0] as { path: string; name: Name };
        throw new ModelError('ERR_LINK_TARGET', `${path}: no target ${name.inode.target}`);
      }
    }
  }

  #pendingNames(): { path: string; name: Name }[] {
    const found: { path: string; name: Name }[] = [];
    const visit = (inode: Inode, path: string): void => {
      for (const [key, name] of inode.children) {
        const child = path === '' ? key : `${path}/${key}`;
        if (name.inode.type === 'pending') {
          found.push({ path: child, name });
        }
        visit(name.inode, child);
      }
    };
    visit(this.#root.inode, '');
    return found.sort((a, b) => a.name.inode.id - b.name.inode.id);
  }

  /** aufs keeps the files that have several names in `.wh..wh.plnk`; nothing of it is shown. */
  #bookkeeping(entry: LayerEntry, path: string[]): void {
    if (path[0] === '.wh..wh.plnk' && path.length > 1 && entry.type !== 'directory') {
      const inode = this.#newInode(entry.type);
      this.#setMetadata(inode, entry);
      this.#setContent(inode, entry);
      this.#plinks.set(path.at(-1) as string, inode);
    }
  }

  // --- paths ------------------------------------------------------------------------------------

  /**
   * The real path of a directory, symlinks followed; what does not exist is kept as it is. `own`, for markers: names
   * that this layer has as directories, whatever the lower layers have there.
   */
  #resolveDirectory(path: readonly string[], own?: Set<string>, isTarget = false): string[] {
    const real: string[] = [];
    const todo = [...path];
    let lexical: string[] | undefined = [];
    let symlinks = 0;
    for (let part = todo.shift(); part !== undefined; part = todo.shift()) {
      if (part === '' || part === '.') {
        continue;
      }
      if (part === '..') {
        real.pop();
        continue;
      }
      lexical?.push(part);
      const name = this.#directoryAt(real)?.children.get(part);
      const stays =
        name?.inode.type !== 'symlink' ||
        (lexical !== undefined && own?.has(lexical.join('/')) === true);
      if (stays || (!isTarget && !this.#follows(name as Name, part))) {
        real.push(part);
        continue;
      }
      if (++symlinks > maxSymlinks) {
        throw new ModelError('ERR_INVALID_ENTRY', `${path.join('/')}: too many symlinks`);
      }
      lexical = undefined;
      if (name.inode.target.startsWith('/')) {
        real.length = 0;
      }
      todo.unshift(...name.inode.target.split('/'));
    }
    return real;
  }

  /** Whether a parent that is this symlink is followed. */
  #follows(name: Name, part: string): boolean {
    if (name.layer === this.#layer || this.#options.symlinkParents === 'follow') {
      return true;
    }
    if (this.#options.symlinkParents === 'error') {
      throw new ModelError('ERR_SYMLINK_PARENT', `${part} is a symlink of a lower layer`);
    }
    return false;
  }

  #isSymlink(path: readonly string[]): boolean {
    const parent = this.#directoryAt(this.#resolveDirectory(path.slice(0, -1), undefined, true));
    return parent?.children.get(path.at(-1) ?? '')?.inode.type === 'symlink';
  }

  #directoryAt(real: readonly string[]): Inode | undefined {
    let inode: Inode | undefined = this.#root.inode;
    for (const part of real) {
      inode = inode?.children.get(part)?.inode;
    }
    return inode?.type === 'directory' ? inode : undefined;
  }

  #makeDirectories(real: readonly string[]): Inode {
    let inode = this.#root.inode;
    for (const part of real) {
      let next = inode.children.get(part)?.inode;
      if (next?.type !== 'directory') {
        this.replacedParents += next === undefined ? 0 : 1;
        next = this.#implicitDirectory();
        inode.children.set(part, { inode: next, layer: this.#layer });
      }
      inode = next;
    }
    return inode;
  }

  // --- inodes -----------------------------------------------------------------------------------

  #newInode(type: Inode['type']): Inode {
    return {
      id: this.#nextInode++,
      type,
      mode: 0,
      uid: 0,
      gid: 0,
      mtime: 0n,
      xattrs: new Map(),
      size: 0,
      hash: '',
      target: '',
      rdev: '',
      children: new Map(),
    };
  }

  #implicitDirectory(): Inode {
    return { ...this.#newInode('directory'), mode: 0o755 };
  }

  #setMetadata(inode: Inode, entry: LayerEntry): void {
    inode.mode = (entry.mode ?? defaultMode(entry.type)) & 0o7777;
    inode.uid = entry.uid ?? 0;
    inode.gid = entry.gid ?? 0;
    inode.mtime = entry.mtime ?? defaultMtime;
    inode.xattrs = new Map();
    for (const [name, value] of Object.entries(entry.xattrs ?? {})) {
      if (this.#keepsXattr(entry, name)) {
        inode.xattrs.set(name, toBytes(value).toString('hex'));
      }
    }
  }

  #keepsXattr(entry: LayerEntry, name: string): boolean {
    if (name === 'security.selinux' || name === 'system.nfs4_acl') {
      return false;
    }
    // xattr(7): user.* only on files and directories.
    if (name.startsWith('user.') && entry.type !== 'file' && entry.type !== 'directory') {
      return false;
    }
    if (isOverlayXattr(name)) {
      if (this.#options.overlayXattrs === 'error') {
        throw new ModelError('ERR_OVERLAY_XATTR', name);
      }
      return this.#options.overlayXattrs === 'escape';
    }
    return true;
  }

  #setContent(inode: Inode, entry: LayerEntry): void {
    if (entry.type === 'file') {
      const content = toBytes(entry.content ?? '');
      const extents: SparseExtent[] = entry.sparse?.extents ?? [{ offset: 0, data: content }];
      inode.size = entry.sparse?.size ?? content.length;
      const key = entry.sparse ?? content;
      const hash = hashes.get(key) ?? contentHash(inode.size, extents);
      hashes.set(key, hash);
      inode.hash = hash;
    } else if (entry.type === 'symlink') {
      inode.target = toKey(entry.linkpath as Bytes);
    } else if (entry.type === 'char' || entry.type === 'block') {
      inode.rdev = `${entry.major ?? 0}:${entry.minor ?? 0}`;
    }
  }

  #treeEntry({ inode, layer }: Name, path: string, format: ModelFormat): TreeEntry {
    const xattrs: Record<string, string> = {};
    for (const [name, value] of inode.xattrs) {
      xattrs[visibleXattr(name, format)] = value;
    }
    return {
      path,
      type: inode.type,
      mode: inode.type === 'symlink' ? 0o777 : inode.mode,
      uid: inode.uid,
      gid: inode.gid,
      mtime: inode.mtime,
      xattrs,
      inode: String(inode.id),
      layer,
      ...(inode.type === 'file' ? { size: inode.size, hash: inode.hash } : {}),
      ...(inode.type === 'symlink' ? { target: inode.target } : {}),
      ...(inode.rdev === '' ? {} : { rdev: inode.rdev }),
    };
  }
}

function isOverlayXattr(name: string): boolean {
  return name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.');
}

/** The name under which an xattr of a layer is seen (overlayfs.rst, "Nesting overlayfs mounts"). */
export function visibleXattr(name: string, format: ModelFormat): string {
  const own =
    format === 'overlay'
      ? 'trusted.overlay.'
      : format === 'overlay-userxattr'
        ? 'user.overlay.'
        : undefined;
  if (!isOverlayXattr(name) || (own !== undefined && name.startsWith(own))) {
    return name;
  }
  return name.replace('.overlay.', '.overlay.overlay.');
}

/** The components of a path below the root: `.`, `//` and a leading `/` taken away, `..` resolved. */
export function cleanPath(path: string, code: string): string[] {
  if (path === '' || path.includes('\0')) {
    throw new ModelError(code, 'an empty name, or one with a NUL');
  }
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') {
      continue;
    }
    if (part !== '..') {
      // What a whiteout hides may have any name; its own is on no disk.
      const name = part.startsWith('.wh.') && !part.startsWith('.wh..wh.') ? part.slice(4) : part;
      if (name.length > maxNameBytes) {
        throw new ModelError(code, `a component of ${part.length} bytes`);
      }
      parts.push(part);
    } else if (parts.pop() === undefined) {
      throw new ModelError(code, `${path}: leaves the root`);
    }
  }
  return parts;
}

/** The result of all layers, bottom first, one after the other. */
export function sequentialApply(
  layers: readonly (readonly LayerEntry[])[],
  options: ModelOptions = {},
): Model {
  const model = new Model(options);
  for (const layer of layers) {
    model.apply(layer);
  }
  return model;
}
