// Who has a directory mounted, in whatever mount namespace: as a layer of an overlay, or bound somewhere. Told from
// /proc/*/mountinfo (proc_pid_mountinfo(5)), once for each namespace that a process is in.

import { readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { unescapeMount } from '../text.js';
import { splitPaths } from './mount-options.js';

/** A mount that needs a directory. */
export interface MountUse {
  /** Where it is mounted, in the namespace of that process. */
  target: string;
  /** A process that sees it. */
  pid: number;
  /** `overlay`, or `bind`. */
  type: 'overlay' | 'bind';
}

/** Mounts that a message names. */
const mostNamed = 3;

interface MountLine {
  /** `MAJOR:MINOR` of the file system. */
  device: string;
  /** The directory of it that is mounted. */
  root: string;
  target: string;
  type: string;
  /** As the kernel writes them. */
  options: string;
}

/** The mounts that each of `directories` (absolute) is needed by, or something in it; those that none needs are left out. */
export async function liveMounts(directories: readonly string[]): Promise<Map<string, MountUse[]>> {
  const uses = new Map<string, MountUse[]>();
  const wanted = await Promise.all(directories.map(identify));
  for (const [pid, mounts] of await mountTables()) {
    for (const mount of mounts) {
      const layers = await layersOf(mount, pid);
      for (const one of wanted) {
        const type = useOf(mount, layers, one);
        if (type !== undefined) {
          const known = uses.get(one.directory) ?? [];
          uses.set(one.directory, [...known, { target: mount.target, pid, type }]);
        }
      }
    }
  }
  return uses;
}

/** The error of who would take the files of a snapshot away from those that use them. */
export function mountedError(snapshot: string, uses: readonly MountUse[]): UnpackError {
  const named = uses
    .slice(0, mostNamed)
    .map(({ target, pid, type }) => `${target} (${type}, seen by process ${pid})`);
  const more = uses.length > mostNamed ? ` and ${uses.length - mostNamed} more` : '';
  return new UnpackError(
    'ERR_SNAPSHOT_MOUNTED',
    `snapshot ${snapshot}: is mounted at ${named.join(', ')}${more}`,
  );
}

/**
 * Of each mount at `target` in this mount namespace, the lowest first: whether it needs one of `directories` (absolute), or
 * something in it.
 */
export async function mountsAt(target: string, directories: readonly string[]): Promise<boolean[]> {
  const real = await realpath(target).catch(() => target);
  const wanted = await Promise.all(directories.map(identify));
  const mounts = (await readMounts('self')).filter((mount) => mount.target === real);
  return Promise.all(
    mounts.map(async (mount) => {
      const layers = await layersOf(mount, 'self');
      return wanted.some((one) => useOf(mount, layers, one) !== undefined);
    }),
  );
}

/** How `mount`, an overlay of `layers` if it is one, needs a directory; undefined where it does not. */
function useOf(
  mount: MountLine,
  layers: readonly Layer[],
  { directory, real, inode, place }: Wanted,
): MountUse['type'] | undefined {
  const isLayer = ({ path: layer, inode: own }: Layer) =>
    isWithin(layer, directory) || isWithin(layer, real) || (inode !== undefined && own === inode);
  if (layers.some(isLayer)) {
    return 'overlay';
  }
  const isBound = mount.device === place?.device && isWithin(mount.root, place.path);
  return isBound ? 'bind' : undefined;
}

/** `inner` is `outer`, or lies in it. */
function isWithin(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(`${outer}/`);
}

interface Wanted {
  directory: string;
  real: string;
  /** `DEVICE:INODE`. */
  inode: string | undefined;
  /** Where it is in its file system. */
  place: { device: string; path: string } | undefined;
}

async function identify(directory: string): Promise<Wanted> {
  const real = await realpath(directory).catch(() => directory);
  const inode = await inodeOf(real);
  // The mount that it is on: the longest one above it; of several at one place the last.
  let on: MountLine | undefined;
  for (const mount of await readMounts('self')) {
    const above = mount.target === '/' || isWithin(real, mount.target);
    if (above && (on === undefined || mount.target.length >= on.target.length)) {
      on = mount;
    }
  }
  const rest = on && path.relative(on.target, real);
  const place = on && { device: on.device, path: path.join(on.root, rest ?? '') };
  return { directory, real, inode, place };
}

/** A directory that an overlay is made of. */
interface Layer {
  path: string;
  /** `DEVICE:INODE`. */
  inode: string | undefined;
}

/** Those of a mount that `pid` sees; none where it is no overlay. */
async function layersOf(mount: MountLine, pid: number | 'self'): Promise<Layer[]> {
  if (mount.type !== 'overlay') {
    return [];
  }
  const paths = optionsOf(mount.options).flatMap(([name, value]) => {
    switch (name) {
      case 'lowerdir':
      case 'lowerdir+':
      case 'datadir+':
        return splitPaths(value);
      case 'upperdir':
      case 'workdir':
        return splitPaths(value).slice(0, 1);
      default:
        return [];
    }
  });
  return Promise.all(
    paths
      .filter((layer) => layer.startsWith('/'))
      .map(async (layer) => ({ path: layer, inode: await inodeOf(`/proc/${pid}/root${layer}`) })),
  );
}

/** The options of a mount; the kernel writes a comma of a value in octal. */
function optionsOf(text: string): [string, string][] {
  return text.split(',').map((option) => {
    const at = option.indexOf('=');
    return at < 0 ? [option, ''] : [option.slice(0, at), unescapeOctal(option.slice(at + 1))];
  });
}

async function inodeOf(directory: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(directory, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

/** The mounts of each namespace, with a process that is in it. */
async function mountTables(): Promise<Map<number, MountLine[]>> {
  const tables = new Map<number, MountLine[]>();
  const seen = new Set<string>();
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) {
      continue;
    }
    const namespace = await readlink(`/proc/${pid}/ns/mnt`).catch(() => `of ${pid}`);
    // A process may have another root in the same namespace, and then other paths in its table.
    const root = await readlink(`/proc/${pid}/root`).catch(() => '');
    const key = `${namespace} ${root}`;
    if (!seen.has(key)) {
      seen.add(key);
      tables.set(pid, await readMounts(pid));
    }
  }
  return tables;
}

async function readMounts(pid: number | 'self'): Promise<MountLine[]> {
  const text = await readFile(`/proc/${pid}/mountinfo`, 'latin1').catch(() => ''); // it has ended
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const dash = fields.indexOf('-');
    const [, , device, root, target] = fields;
    if (dash < 0 || device === undefined || root === undefined || target === undefined) {
      return [];
    }
    return [
      {
        device,
        root: unescapeOctal(root),
        target: unescapeOctal(target),
        type: fields[dash + 1] ?? '',
        options: fields[dash + 3] ?? '',
      },
    ];
  });
}

/** Bytes, which were read as latin1. */
function unescapeOctal(text: string): string {
  return Buffer.from(unescapeMount(text), 'latin1').toString('utf8');
}
