// Damages to a layer's directory, chosen by a seed: for the tests that verify finds each, calls it by its right name,
// and accuses nothing else. Every damage can be undone. The times of the parents are kept, since else they would be
// damages of their own.

import { inspector } from './inspector.js';
import type { Random } from './random.js';
import { dumpHere } from './snapshots.js';
import type { Tree, TreeEntry } from './tree.js';

/** The kinds of damage, by the names of the findings that they must lead to. */
export const damageKinds = [
  'missing-entry',
  'extra-entry',
  'changed-content',
  'changed-size',
  'zero-length',
  'changed-type',
  'changed-mode',
  'changed-owner',
  'changed-time',
  'changed-xattr',
  'lost-xattr',
  'extra-xattr',
  'lost-capability',
  'changed-target',
  'changed-device',
  'broken-hardlink',
  'device-became-file',
  'leaked-opaque',
  'lost-opaque',
  'lost-whiteout',
  'stray-whiteout',
  'foreign-marker',
] as const;

export type DamageKind = (typeof damageKinds)[number];

/** How the directory says whiteout and opaque; `flat` does not. */
export type DamageFormat = 'overlay' | 'overlay-userxattr' | 'aufs' | 'flat';

/** What was done. */
export interface Damage {
  kind: DamageKind;
  /** Relative to the layer's directory, one code point per byte, as in a {@link Tree}. */
  path: string;
  /** For each, a finding of `kind` at one of `paths` must be there, and none at any other path. */
  expected: { kind: DamageKind; paths: string[] }[];
  /** Puts all back as it was, but for change times (ctime). */
  undo(): Promise<void>;
}

export interface DamagerOptions {
  format: DamageFormat;
  /**
   * Entries that may be chosen for a kind; all by default. A directory that the layer does not name has attributes that
   * nobody prescribes, for example.
   */
  accept?: (kind: DamageKind, entry: TreeEntry) => boolean;
  /** Names of the lower layers in a directory, so that a stray whiteout hides something. */
  lowerNames?: (directory: string) => readonly string[];
}

type Change = [name: string, path: string, ...rest: (string | number)[]];

/** A damage that is planned: the changes, those that undo them, and directories whose times are kept. */
interface Plan {
  path: string;
  paths?: string[][];
  changes: Change[];
  undo: Change[];
}

const capability = 'security.capability';
/** Names that printing and scripts must cope with. */
const extraNames = ['extra', 'a b', "it's", '-rf', '$(id)', 'new\nline', '"quoted"', 'back\\slash'];

/** Damages one directory, again and again. */
export class Damager {
  readonly #directory: string;
  readonly #tree: Tree;
  readonly #options: DamagerOptions;
  #stashes = 0;
  readonly #links = new Map<string, string[]>();
  readonly #withoutMarks: Set<string>;
  readonly #fitting = new Map<DamageKind, TreeEntry[]>();

  private constructor(directory: string, tree: Tree, options: DamagerOptions) {
    this.#directory = directory;
    this.#tree = tree;
    this.#options = options;
    for (const entry of tree.values()) {
      if (entry.type !== 'directory' && !isWhiteout(entry)) {
        this.#links.set(entry.inode, [...(this.#links.get(entry.inode) ?? []), entry.path]);
      }
    }
    this.#withoutMarks = plainDirectories(tree, this.#links);
  }

  /** @param directory the layer's, undamaged; absolute */
  static async of(directory: string, options: DamagerOptions): Promise<Damager> {
    return new Damager(directory, await dumpHere(directory), options);
  }

  /** The entries of the undamaged layer. */
  get tree(): Tree {
    return this.#tree;
  }

  /** Whether the layer has anything that a damage of the kind can be done to. */
  can(kind: DamageKind): boolean {
    return this.#fittingFor(kind).some((entry) => this.#accepts(kind, entry));
  }

  /**
   * Does a damage of the kind; undefined where the layer has nothing of the sort.
   *
   * @param mayTouch whether a path may be chosen, for damages that must not meet
   */
  async damage(
    kind: DamageKind,
    random: Random,
    mayTouch: (path: string) => boolean = () => true,
  ): Promise<Damage | undefined> {
    const all = this.#fittingFor(kind);
    const may = (entry: TreeEntry) =>
      this.#accepts(kind, entry) &&
      mayTouch(entry.path) &&
      (this.#links.get(entry.inode) ?? []).every((name) => mayTouch(name));
    // A big layer has a hundred thousand, of which nearly all will do.
    let entry: TreeEntry | undefined;
    for (let attempt = 0; attempt < 20 && all.length > 0 && entry === undefined; attempt++) {
      const one = random.pick(all);
      entry = may(one) ? one : undefined;
    }
    if (entry === undefined) {
      const candidates = all.filter(may);
      if (candidates.length === 0) {
        return undefined;
      }
      entry = random.pick(candidates);
    }
    const { path, paths = [[path]], changes, undo } = this.#plan(kind, random, entry);
    await this.#change(changes);
    return {
      kind,
      path,
      expected: paths.map((one) => ({ kind, paths: one })),
      undo: () => this.#change(undo),
    };
  }

  #fittingFor(kind: DamageKind): TreeEntry[] {
    let fitting = this.#fitting.get(kind);
    if (fitting === undefined) {
      fitting = [...this.#tree.values()].filter((entry) => this.#fits(kind, entry));
      this.#fitting.set(kind, fitting);
    }
    return fitting;
  }

  #accepts(kind: DamageKind, entry: TreeEntry): boolean {
    return this.#options.accept?.(kind, entry) ?? true;
  }

  async #change(changes: readonly Change[]): Promise<void> {
    // Through this process, in whose mount namespace the directory is.
    const full = (path: string) => latin1(`/proc/${process.pid}/root${this.#directory}`) + path;
    const absolute = changes.map(([name, path, ...rest]) =>
      ['rename', 'copy', 'link'].includes(name)
        ? [name, full(path), full(String(rest[0]))]
        : [name, full(path), ...rest],
    );
    const parents = new Set(
      changes
        .flatMap(([name, path, target]) =>
          ['rename', 'copy', 'link'].includes(name) ? [path, String(target)] : [path],
        )
        .filter((path) => path.startsWith('/'))
        .map((path) => path.slice(0, path.lastIndexOf('/') + 1))
        .filter((path) => path === '/' || this.#tree.has(path.slice(1, -1))),
    );
    await inspector().request({
      op: 'change',
      changes: absolute,
      keep: [...parents].map(full),
    });
  }

  #fits(kind: DamageKind, entry: TreeEntry): boolean {
    const { path, type, size = 0, xattrs } = entry;
    const { format } = this.#options;
    const overlay = format === 'overlay' || format === 'overlay-userxattr';
    const whiteout = isWhiteout(entry) || isAufsMark(format, path);
    const single = (this.#links.get(entry.inode)?.length ?? 1) === 1;
    const plain = path !== '' && !whiteout;
    const device = type === 'char' || type === 'block';
    switch (kind) {
      case 'missing-entry':
        return plain && (type === 'directory' ? this.#withoutMarks.has(path) : single);
      case 'changed-content':
      case 'changed-size':
      case 'zero-length':
        return plain && single && type === 'file' && size > (kind === 'changed-size' ? 1 : 0);
      case 'changed-type':
        return plain && single && (type === 'file' || type === 'symlink' || type === 'fifo');
      case 'changed-mode':
        return plain && single && type !== 'symlink';
      case 'changed-owner':
      case 'changed-time':
        return plain && single;
      case 'changed-xattr':
      case 'lost-xattr':
        return plain && single && ordinaryXattrs(xattrs).length > 0;
      case 'extra-xattr':
        return plain && single && (type === 'file' || type === 'directory');
      case 'lost-capability':
        return plain && single && xattrs[capability] !== undefined;
      case 'changed-target':
        return plain && single && type === 'symlink';
      case 'changed-device':
      case 'device-became-file':
        return plain && single && device;
      case 'broken-hardlink':
        return plain && !single && type === 'file';
      case 'leaked-opaque':
        return plain && format !== 'flat' && type === 'directory' && !this.#isOpaque(entry);
      case 'lost-opaque':
        return path !== '' && type === 'directory' && this.#isOpaque(entry);
      case 'lost-whiteout':
        return path !== '' && whiteout && !path.endsWith('.wh..wh..opq');
      case 'stray-whiteout':
        return format !== 'flat' && type === 'directory';
      case 'extra-entry':
        return type === 'directory';
      case 'foreign-marker':
        return plain && overlay && type === 'directory';
    }
  }

  #isOpaque({ path, xattrs }: TreeEntry): boolean {
    return this.#options.format === 'aufs'
      ? this.#tree.has(`${path}/.wh..wh..opq`)
      : xattrs[this.#opaqueName()] !== undefined;
  }

  #opaqueName(foreign = false): string {
    const user = (this.#options.format === 'overlay-userxattr') !== foreign;
    return `${user ? 'user' : 'trusted'}.overlay.opaque`;
  }

  #plan(kind: DamageKind, random: Random, entry: TreeEntry): Plan {
    const at = `/${entry.path}`;
    // Beside the directory, on the same file system.
    this.#stashes++;
    const stash = `.stash-${this.#stashes}`;
    const restoreTime: Change = ['utime', at, String(entry.mtime)];
    const replaced = (...made: Change[]): Plan => ({
      path: entry.path,
      changes: [['rename', at, stash], ...made],
      undo: [
        [made[0]?.[0] === 'mkdir' ? 'rmdir' : 'unlink', at],
        ['rename', stash, at],
      ],
    });
    const likeIt: Change[] = [
      ['chown', at, entry.uid, entry.gid],
      ...(entry.type === 'symlink' ? [] : ([['chmod', at, entry.mode]] as Change[])),
      restoreTime,
    ];
    // chown(2) and write(2) take suid, sgid and the capability away.
    const privileges: Change[] = [
      ...(entry.type === 'symlink' ? [] : ([['chmod', at, entry.mode]] as Change[])),
      ...Object.entries(entry.xattrs)
        .filter(([name]) => name === capability)
        .map(([name, value]): Change => ['setxattr', at, name, value]),
    ];
    const simple = (changes: Change[], undo: Change[]): Plan => ({
      path: entry.path,
      changes,
      undo,
    });
    switch (kind) {
      case 'missing-entry': {
        const prefix = `${entry.path}/`;
        const below = [...this.#tree.keys()].filter((path) => path.startsWith(prefix));
        // The directory stands for what is in it.
        return {
          path: entry.path,
          paths: [[entry.path, ...below]],
          changes: [['rename', at, stash]],
          undo: [['rename', stash, at]],
        };
      }
      case 'extra-entry': {
        const path = this.#newName(entry, extraNames[random.below(extraNames.length)] as string);
        const make: Change[] = random.pick<Change[]>([
          [['write', `/${path}`, 0, '6e6577']],
          [['mkdir', `/${path}`]],
          [['symlink', `/${path}`, 'nowhere']],
          [['mknod', `/${path}`, 'fifo', 0, 0]],
        ]);
        const remove: Change = [make[0]?.[0] === 'mkdir' ? 'rmdir' : 'unlink', `/${path}`];
        return { path, changes: make, undo: [remove] };
      }
      case 'changed-content': {
        const stashed = replaced(['copy', stash, at]);
        const offset = random.below(entry.size ?? 1);
        stashed.changes.push(['flip', at, offset], ...privileges, restoreTime);
        return stashed;
      }
      case 'changed-size': {
        const stashed = replaced(['copy', stash, at]);
        const size = entry.size ?? 2;
        const to = random.chance(0.7) ? 1 + random.below(size - 1) : size + 1 + random.below(5000);
        stashed.changes.push(['truncate', at, to], ...privileges, restoreTime);
        return stashed;
      }
      case 'zero-length': {
        const stashed = replaced(['copy', stash, at]);
        stashed.changes.push(['truncate', at, 0], ...privileges, restoreTime);
        return stashed;
      }
      case 'changed-type': {
        const others: Change[] = [
          ['symlink', at, 'elsewhere'],
          ['mknod', at, 'fifo', 0, 0],
          ['write', at, 0, ''],
          ['mkdir', at],
        ];
        const types = ['symlink', 'fifo', 'file', 'directory'];
        const other = random.pick(others.filter((_, i) => types[i] !== entry.type));
        const isLink = other[0] === 'symlink';
        return replaced(
          other,
          ...likeIt.filter(([name]) => name !== 'chmod'),
          ...(isLink || entry.type === 'symlink' ? [] : ([['chmod', at, entry.mode]] as Change[])),
          restoreTime,
        );
      }
      case 'changed-mode': {
        const bit = 1 << random.below(9);
        return simple([['chmod', at, entry.mode ^ bit]], [['chmod', at, entry.mode]]);
      }
      case 'changed-owner': {
        const [uid, gid] = random.chance(0.5)
          ? [entry.uid + 1 + random.below(1000), entry.gid]
          : [entry.uid, entry.gid + 1 + random.below(1000)];
        return simple(
          [['chown', at, uid, gid], ...privileges],
          [['chown', at, entry.uid, entry.gid], ...privileges],
        );
      }
      case 'changed-time': {
        const by = random.chance(0.3) ? 1n : BigInt(1 + random.below(1e9)) * 1_000_000_000n;
        return simple([['utime', at, String(entry.mtime + by)]], [restoreTime]);
      }
      case 'changed-xattr': {
        const [name, value] = random.pick(ordinaryXattrs(entry.xattrs));
        return simple([['setxattr', at, name, `${value}21`]], [['setxattr', at, name, value]]);
      }
      case 'lost-xattr': {
        const [name, value] = random.pick(ordinaryXattrs(entry.xattrs));
        return simple([['removexattr', at, name]], [['setxattr', at, name, value]]);
      }
      case 'extra-xattr':
        return simple(
          [['setxattr', at, 'user.damage', '78']],
          [['removexattr', at, 'user.damage']],
        );
      case 'lost-capability':
        return simple(
          [['removexattr', at, capability]],
          [['setxattr', at, capability, entry.xattrs[capability] ?? '']],
        );
      case 'changed-target':
        return replaced(['symlink', at, `${entry.target}-elsewhere`], ...likeIt);
      case 'changed-device': {
        const [major = 0, minor = 0] = (entry.rdev ?? '').split(':').map(Number);
        return replaced(['mknod', at, entry.type, major, minor + 1], ...likeIt);
      }
      case 'device-became-file':
        return replaced(['write', at, 0, ''], ...likeIt);
      case 'broken-hardlink': {
        const plan = replaced(['copy', stash, at]);
        return { ...plan, paths: [this.#links.get(entry.inode) ?? []] };
      }
      case 'leaked-opaque':
        return this.#options.format === 'aufs'
          ? simple([['write', `${at}/.wh..wh..opq`, 0, '']], [['unlink', `${at}/.wh..wh..opq`]])
          : simple(
              [['setxattr', at, this.#opaqueName(), '79']],
              [['removexattr', at, this.#opaqueName()]],
            );
      case 'lost-opaque': {
        const mark = `${at}/.wh..wh..opq`;
        return this.#options.format === 'aufs'
          ? simple([['rename', mark, stash]], [['rename', stash, mark]])
          : simple(
              [['removexattr', at, this.#opaqueName()]],
              [['setxattr', at, this.#opaqueName(), entry.xattrs[this.#opaqueName()] ?? '79']],
            );
      }
      case 'lost-whiteout':
        return simple([['rename', at, stash]], [['rename', stash, at]]);
      case 'stray-whiteout': {
        const hidden = (this.#options.lowerNames?.(entry.path) ?? [])
          .map(latin1)
          .filter((name) => !this.#tree.has(join(entry.path, name)));
        const name = hidden.length > 0 ? random.pick(hidden) : 'stray';
        if (this.#options.format === 'aufs') {
          const path = this.#newName(entry, `.wh.${name}`);
          return { path, changes: [['write', `/${path}`, 0, '']], undo: [['unlink', `/${path}`]] };
        }
        const path = this.#newName(entry, name);
        return {
          path,
          changes: [['mknod', `/${path}`, 'char', 0, 0]],
          undo: [['unlink', `/${path}`]],
        };
      }
      case 'foreign-marker': {
        const name = this.#opaqueName(true);
        return simple([['setxattr', at, name, '79']], [['removexattr', at, name]]);
      }
    }
  }

  /** A path in a directory that the layer does not have. */
  #newName(directory: TreeEntry, name: string): string {
    let path = join(directory.path, name);
    for (let i = 1; this.#tree.has(path); i++) {
      path = join(directory.path, `${name}-${i}`);
    }
    return path;
  }
}

function join(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function isWhiteout({ type, rdev, xattrs }: TreeEntry): boolean {
  return (
    (type === 'char' && rdev === '0:0') ||
    Object.keys(xattrs).some((name) => /^(user|trusted)\.overlay\.whiteout$/.test(name))
  );
}

function isAufsMark(format: DamageFormat, path: string): boolean {
  return format === 'aufs' && path.slice(path.lastIndexOf('/') + 1).startsWith('.wh.');
}

function ordinaryXattrs(xattrs: Record<string, string>): [string, string][] {
  return Object.entries(xattrs).filter(
    ([name]) =>
      name !== capability && /^(user|trusted|security)\.(?!overlay\.|selinux$)/.test(name),
  );
}

/** Directories with few entries, none of them a mark or a name of a file with several. */
function plainDirectories(tree: Tree, links: ReadonlyMap<string, string[]>): Set<string> {
  const counts = new Map<string, number>();
  for (const entry of tree.values()) {
    const { path, inode, xattrs } = entry;
    const isMark =
      isWhiteout(entry) ||
      (links.get(inode)?.length ?? 1) > 1 ||
      path.slice(path.lastIndexOf('/') + 1).startsWith('.wh.') ||
      Object.keys(xattrs).some((name) => name.includes('.overlay.'));
    const weight = isMark ? Number.POSITIVE_INFINITY : 1;
    for (let at = path; at !== ''; at = at.slice(0, Math.max(0, at.lastIndexOf('/')))) {
      counts.set(at, (counts.get(at) ?? 0) + weight);
    }
  }
  return new Set([...counts].filter(([, count]) => count <= 40).map(([path]) => path));
}
