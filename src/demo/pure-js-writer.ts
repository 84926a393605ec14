// Writes the entries of one layer with what Node's fs has, into its own empty directory. Directories and links by
// synchronous calls, since what follows needs them; files as a FileWriter does. Only calls that are needed are made.

import fs, { constants } from 'node:fs';
import path from 'node:path';
import type { BodySink, FileWriter } from './pure-js-files.js';

/** An entry's header; the types of tar-stream leave `pax` out. */
export type TarHeaders = import('tar-stream').Headers & { pax?: Record<string, string> | null };

/** What Node cannot write. */
export interface SkippedCounts {
  xattrs: number;
  devices: number;
}

interface Attributes {
  mode: number;
  uid: number;
  gid: number;
  /** Seconds; undefined leaves the time alone. */
  mtime: number | undefined;
}

type Kind = 'file' | 'directory' | 'symlink';

const maxSymlinks = 40;
const withoutEntry: Attributes = { mode: 0o755, uid: 0, gid: 0, mtime: undefined };

export class PureJsWriter {
  readonly root: string;
  readonly skipped: SkippedCounts = { xattrs: 0, devices: 0 };
  /** What is on disk, by path; the directory was empty, so this is all there is. */
  readonly #kinds = new Map<string, Kind>([['', 'directory']]);
  /** Directories with an entry of their own; set when the layer is complete. */
  readonly #directories = new Map<string, Attributes>();
  /** Resolved directories by the path that an entry says. */
  readonly #resolved = new Map<string, string>();
  readonly #links: { path: string; target: string }[] = [];
  readonly #whiteouts = new Set<string>();
  readonly #opaques = new Set<string>();
  readonly #files: FileWriter;
  readonly #owners: boolean;
  readonly #uid = process.geteuid?.() ?? 0;
  readonly #gid = process.getegid?.() ?? 0;

  constructor(root: string, files: FileWriter, owners: boolean) {
    this.root = root;
    this.#files = files;
    this.#owners = owners;
  }

  /** Whether an entry takes the place of one before it: files that are being written must be finished first. */
  replaces({ name }: TarHeaders): boolean {
    return this.#kinds.get(normalize(name)) === 'file';
  }

  /** Writes an entry; returns where its body goes, if it has one. */
  add(header: TarHeaders): BodySink | undefined {
    const pax = header.pax ?? {};
    this.skipped.xattrs += Object.keys(pax).filter((key) => key.includes('.xattr.')).length;
    const attributes = {
      mode: (header.mode ?? 0o644) & 0o7777,
      uid: Number(pax.uid ?? header.uid ?? 0),
      gid: Number(pax.gid ?? header.gid ?? 0),
      mtime: Number(pax.mtime ?? (header.mtime?.getTime() ?? 0) / 1000),
    };
    const name = this.#place(header.name);
    switch (header.type) {
      case 'directory':
        this.#makeDirectory(name);
        this.#directories.set(name, attributes);
        return undefined;
      case 'symlink':
        this.#makeWay(name);
        fs.symlinkSync(header.linkname ?? '', this.#full(name));
        this.#kinds.set(name, 'symlink');
        this.#setOwner(this.#full(name), attributes, fs.lchownSync);
        fs.lutimesSync(this.#full(name), attributes.mtime, attributes.mtime);
        return undefined;
      case 'link':
        // Its target may still be written, come later, or be in a lower layer.
        this.#links.push({ path: name, target: normalize(header.linkname ?? '') });
        return undefined;
      case 'file':
      case 'contiguous-file':
        this.#noteWhiteout(name);
        return this.#makeFile(name, attributes);
      default:
        this.skipped.devices++;
        return undefined;
    }
  }

  /** What needs the layers below (`lowers`, the nearest first), and then the metadata of directories. */
  settle(lowers: readonly PureJsWriter[]): void {
    for (const { path: name, target } of this.#links) {
      if (!this.#kinds.has(target)) {
        this.#copyUp(target, lowers);
      }
      this.#link(name, target);
    }
    for (const [name, kind] of this.#kinds) {
      if (kind === 'directory' && !this.#directories.has(name)) {
        this.#directories.set(name, visibleDirectory(name, lowers));
      }
    }
    // The longest first: what is below a directory changes its time.
    for (const name of [...this.#directories.keys()].sort((a, b) => b.length - a.length)) {
      const attributes = this.#directories.get(name) ?? withoutEntry;
      const full = this.#full(name);
      this.#setOwner(full, attributes, fs.chownSync);
      fs.chmodSync(full, attributes.mode);
      if (attributes.mtime !== undefined) {
        fs.utimesSync(full, attributes.mtime, attributes.mtime);
      }
    }
  }

  /** The path of an entry on disk: its parents made, symlinks among them followed inside the root. */
  #place(name: string): string {
    const clean = normalize(name);
    const slash = clean.lastIndexOf('/');
    if (slash < 0) {
      return clean;
    }
    return `${this.#resolve(clean.slice(0, slash), 0)}/${clean.slice(slash + 1)}`.replace(
      /^\//,
      '',
    );
  }

  #resolve(directory: string, depth: number): string {
    const known = this.#resolved.get(directory);
    if (known !== undefined || directory === '') {
      return known ?? '';
    }
    const slash = directory.lastIndexOf('/');
    const parent = slash < 0 ? '' : this.#resolve(directory.slice(0, slash), depth);
    let found = join(parent, directory.slice(slash + 1));
    if (this.#kinds.get(found) === 'symlink') {
      if (depth >= maxSymlinks) {
        throw new Error(`${directory}: too many symlinks`);
      }
      const target = fs.readlinkSync(this.#full(found));
      const below = target.startsWith('/') ? '' : parent;
      found = this.#resolve(path.posix.join('/', below, target).slice(1), depth + 1);
    }
    this.#makeDirectory(found);
    this.#resolved.set(directory, found);
    return found;
  }

  #makeDirectory(name: string): void {
    if (this.#kinds.get(name) !== 'directory') {
      this.#makeWay(name);
      fs.mkdirSync(this.#full(name), 0o700);
      this.#kinds.set(name, 'directory');
    }
  }

  /** Removes what an earlier entry of this layer put there. */
  #makeWay(name: string): void {
    const kind = this.#kinds.get(name);
    if (kind === undefined) {
      return;
    }
    fs.rmSync(this.#full(name), { recursive: true });
    this.#resolved.clear();
    for (const other of kind === 'directory' ? [...this.#kinds.keys()] : [name]) {
      if (other === name || other.startsWith(`${name}/`)) {
        this.#kinds.delete(other);
        this.#directories.delete(other);
      }
    }
  }

  #makeFile(name: string, attributes: Attributes): BodySink {
    this.#makeWay(name);
    this.#kinds.set(name, 'file');
    const { mode, mtime = 0 } = attributes;
    const owner = this.#isOther(attributes) ? attributes : undefined;
    return this.#files.create({ path: this.#full(name), mode, mtime, owner });
  }

  #isOther({ uid, gid }: Attributes): boolean {
    return this.#owners && (uid !== this.#uid || gid !== this.#gid);
  }

  #setOwner(
    full: string,
    attributes: Attributes,
    change: (path: string, uid: number, gid: number) => void,
  ): void {
    if (this.#isOther(attributes)) {
      change(full, attributes.uid, attributes.gid);
    }
  }

  #link(name: string, target: string): void {
    this.#makeWay(name);
    fs.linkSync(this.#full(target), this.#full(name));
    this.#kinds.set(name, this.#kinds.get(target) ?? 'file');
  }

  #copyUp(name: string, lowers: readonly PureJsWriter[]): void {
    const owner = lowers.find((lower) => lower.#kinds.has(name) || lower.#hides(name));
    if (owner === undefined || owner.#kinds.get(name) !== 'file') {
      throw new Error(`${name}: is the target of a hardlink, and no file`);
    }
    this.#place(name);
    const [from, to] = [owner.#full(name), this.#full(name)];
    const status = fs.lstatSync(from);
    fs.copyFileSync(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    this.#setOwner(to, { ...status, mtime: undefined }, fs.chownSync);
    fs.chmodSync(to, status.mode & 0o7777);
    fs.utimesSync(to, status.mtimeMs / 1000, status.mtimeMs / 1000);
    this.#kinds.set(name, 'file');
  }

  #noteWhiteout(name: string): void {
    const base = path.posix.basename(name);
    const parent = name.slice(0, Math.max(0, name.length - base.length - 1));
    if (base === '.wh..wh..opq') {
      this.#opaques.add(parent);
    } else if (base.startsWith('.wh.')) {
      this.#whiteouts.add(join(parent, base.slice('.wh.'.length)));
    }
  }

  /** Whether this layer hides what lower ones have at `name`, by a whiteout, an opaque marker or a non-directory. */
  #hides(name: string): boolean {
    for (let at = name, last = false; !last; at = at.slice(0, Math.max(0, at.lastIndexOf('/')))) {
      last = at === '';
      const kind = this.#kinds.get(at);
      if (this.#whiteouts.has(at) || (kind !== undefined && kind !== 'directory')) {
        return true;
      }
      if (at !== name && this.#opaques.has(at)) {
        return true;
      }
    }
    return false;
  }

  /** For {@link visibleDirectory}: the directory's attributes, `hidden`, or undefined to look further down. */
  look(name: string): Attributes | 'hidden' | undefined {
    return this.#directories.get(name) ?? (this.#hides(name) ? 'hidden' : undefined);
  }

  #full(name: string): string {
    return `${this.root}/${name}`;
  }
}

/** Metadata of a directory as the layers below show it. */
function visibleDirectory(name: string, lowers: readonly PureJsWriter[]): Attributes {
  for (const lower of lowers) {
    const found = lower.look(name);
    if (found !== undefined) {
      return found === 'hidden' ? withoutEntry : found;
    }
  }
  return withoutEntry;
}

function join(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`;
}

/** A path of a tar as a relative one without `.`, `..` and doubled slashes. */
function normalize(name: string): string {
  const clean = path.posix.normalize(name.replace(/^\/+/, '')).replace(/\/$/, '');
  if (clean === '..' || clean.startsWith('../')) {
    throw new Error(`${name}: leaves the root`);
  }
  return clean === '.' ? '' : clean;
}
