// Where containerd's applier, undamaged, leaves something else on the disk than ours does. From its pkg/archive/tar.go,
// tar_unix.go, tar_opts_linux.go, time.go and core/diff/apply/apply_linux.go, 1.3 to 2.x. Each rule takes the fields
// out of a difference that it explains; what nothing explains is a finding.

import { type Difference, type EntryFacts, loadBinding, type Note } from '../native/index.js';
import { type FoundFile, findFile, type LayerTruth } from '../verify/index.js';
import { type LinkHeader, readLinkHeaders } from './link-headers.js';
import { acceptBuilt, acceptMarks } from './mounted.js';

/** What the rules need to know of the layer. */
export interface AppliedLayer extends LayerTruth {
  snapshotter: string;
  directory: string;
  /** Directories of the layers below, topmost first. */
  lowers: readonly string[];
  /** The blobs that the directory was made of, bottom first: the layer's, of the native snapshotter those below too. */
  blobs?: readonly (() => Promise<string | undefined>)[];
  /** Whether containerd runs in a user namespace, where it makes no devices. */
  inUserNamespace: boolean;
  /** Whether the directory was written through an overlay mount. */
  wasMounted: boolean;
  /** Whether it may be of a built layer though it was not mounted as one. */
  mayBeBuilt?: boolean;
}

/** A difference with what is left of it; undefined for nothing. */
type Rest = Difference | undefined;

/** The seconds of 2262-04-11T23:47:16Z, Go's latest time as a number of nanoseconds. */
const latestSeconds = 9_223_372_036;

/** The differences that are not of containerd's making. */
export async function acceptApplied(
  differences: readonly Difference[],
  layer: AppliedLayer,
): Promise<Difference[]> {
  const dropped = droppedWhiteouts(layer.notes);
  const rest: Difference[] = [];
  for (const difference of differences) {
    const left = await unexplained(difference, layer, dropped);
    if (left !== undefined) {
      rest.push(left);
    }
  }
  const { directory, tree, below } = layer;
  const linked = await withoutLinkHeaders(rest, layer);
  const left = layer.wasMounted ? acceptMarks(linked, directory, tree, below) : linked;
  return layer.wasMounted || layer.mayBeBuilt ? acceptBuilt(left) : left;
}

async function unexplained(
  difference: Difference,
  layer: AppliedLayer,
  dropped: ReadonlySet<string>,
): Promise<Rest> {
  const { path, expected, found, fields } = difference;
  if (expected === null) {
    // It writes every whiteout, also one that hides nothing, which we leave out.
    return found?.type === 'whiteout' && dropped.has(path) ? undefined : difference;
  }
  if (found === null) {
    const isDevice = expected.type === 'char' || expected.type === 'block';
    return isDevice && layer.inUserNamespace ? undefined : difference;
  }
  if (fields.includes('type') || fields.includes('unreadable')) {
    return difference;
  }
  const inherited =
    path === '' || expected.implicit === true
      ? await inheritedFields({ ...difference, found }, layer)
      : new Set<string>();
  const left = fields.filter(
    (field) =>
      !inherited.has(field) &&
      !(field === 'mtime' && isOtherTime(expected, found, layer)) &&
      !(field.startsWith('xattr:') && isOtherXattr(field.slice('xattr:'.length), expected, found)),
  );
  return left.length === 0 ? undefined : { ...difference, fields: left };
}

/**
 * Fields of a directory whose attributes no entry prescribes, where they are what containerd gives it: those of the
 * topmost lower layer that has the path, hidden or not, or 0755 of root. The entry of the layer's root is passed over.
 */
async function inheritedFields(
  { path, found, fields }: Difference & { found: EntryFacts },
  { directory, lowers }: AppliedLayer,
): Promise<Set<string>> {
  // Its time is that of the last name that was put into it.
  const inherited = new Set(['mtime']);
  const givers: FoundFile[] = [];
  for (const lower of lowers) {
    const file = await findFile(lower, path);
    if (file?.stats.isDirectory()) {
      givers.push(file);
    }
  }
  const gids = [0, ...(await setgidOf(directory, path))];
  // Each by itself: what has been damaged since says nothing of the other.
  if (found.mode === 0o755 || givers.some(({ stats }) => isSameMode(stats, found))) {
    inherited.add('mode');
  }
  const isPlain = found.uid === 0 && gids.includes(found.gid);
  if (isPlain || givers.some(({ stats }) => isSameOwner(stats, found))) {
    inherited.add('owner');
  }
  for (const field of fields.filter((one) => one.startsWith('xattr:'))) {
    const name = field.slice('xattr:'.length);
    const value = found.xattrs[name];
    const isMark = /^(user|trusted)\.overlay\./.test(name);
    if (
      (value === undefined && path === '') ||
      (value !== undefined && !isMark && givers.some((file) => hasXattr(file, name, value)))
    ) {
      inherited.add(field);
    }
  }
  return inherited;
}

function isSameMode({ mode }: FoundFile['stats'], found: EntryFacts): boolean {
  return (Number(mode) & 0o7777) === found.mode;
}

function isSameOwner({ uid, gid }: FoundFile['stats'], found: EntryFacts): boolean {
  return Number(uid) === found.uid && Number(gid) === found.gid;
}

/** The group that a directory gets from a parent with the setgid bit. */
async function setgidOf(directory: string, path: string): Promise<number[]> {
  const parent = path === '' ? undefined : await findFile(directory, path.replace(/\/?[^/]*$/, ''));
  return parent !== undefined && Number(parent.stats.mode) & 0o2000
    ? [Number(parent.stats.gid)]
    : [];
}

function hasXattr({ path }: FoundFile, name: string, value: string): boolean {
  return (
    typeof path === 'string' &&
    loadBinding().readXattr({ path, name })?.toString('base64') === value
  );
}

/**
 * Takes out what is as the header of a hardlink to the file says, which containerd applies to the file as well. Each field
 * by itself, and whether it is linked still: what has been damaged since says nothing of the others.
 */
async function withoutLinkHeaders(
  differences: readonly Difference[],
  { blobs = [] }: AppliedLayer,
): Promise<Difference[]> {
  const mayBeLinked = ({ expected, found, fields }: Difference) =>
    expected?.type === found?.type &&
    expected?.type !== 'directory' &&
    fields.some((field) => ['mode', 'owner', 'mtime'].includes(field));
  const left: Difference[] = [];
  let headers: LinkHeader[] | undefined;
  for (const difference of differences) {
    const { path, expected, found } = difference;
    if (expected === null || found === null || !mayBeLinked(difference)) {
      left.push(difference);
      continue;
    }
    headers ??= await allLinkHeaders(blobs);
    const names = namesOf(headers, path);
    const last = headers.findLast(({ name }) => names.has(name));
    const fields = difference.fields.filter(
      (field) => last === undefined || !isAsLinked(field, found, last),
    );
    if (fields.length > 0) {
      left.push({ ...difference, fields });
    }
  }
  return left;
}

async function allLinkHeaders(
  blobs: readonly (() => Promise<string | undefined>)[],
): Promise<LinkHeader[]> {
  const headers: LinkHeader[] = [];
  for (const blob of blobs) {
    const file = await blob();
    headers.push(...(file === undefined ? [] : await readLinkHeaders(file)));
  }
  return headers;
}

/** The names that share a file with `path`. */
function namesOf(headers: readonly LinkHeader[], path: string): Set<string> {
  const names = new Set([path]);
  for (let size = 0; size < names.size; ) {
    size = names.size;
    for (const { name, target } of headers) {
      if (names.has(name) || names.has(target)) {
        names.add(name).add(target);
      }
    }
  }
  return names;
}

function isAsLinked(field: string, found: EntryFacts, header: LinkHeader): boolean {
  switch (field) {
    case 'mode':
      return found.mode === header.mode;
    case 'owner':
      return found.uid === header.uid && found.gid === header.gid;
    case 'mtime':
      return found.mtimeSeconds === header.seconds && found.mtimeNanoseconds === header.nanoseconds;
    default:
      return false;
  }
}

function isOtherTime(expected: EntryFacts, found: EntryFacts, { snapshotter }: AppliedLayer) {
  // The native snapshotter copies the layer below, whose directories get the time of copying.
  if (snapshotter === 'native' && expected.type === 'directory') {
    return true;
  }
  // boundTime: what is before 1970 or after 2262 becomes 1970.
  const isBeyond = expected.mtimeSeconds < 0 || expected.mtimeSeconds >= latestSeconds;
  return isBeyond && found.mtimeSeconds === 0 && found.mtimeNanoseconds === 0;
}

function isOtherXattr(name: string, expected: EntryFacts, found: EntryFacts): boolean {
  const escaped = (one: string) => one.replace(/^(user|trusted)\.overlay\./, '$1.overlay.overlay.');
  if (found.xattrs[name] === undefined) {
    // setxattr passes `trusted.` over; ACLs as text and LIBARCHIVE's xattrs are records that it does not know.
    if (name.startsWith('trusted.overlay.overlay.') || name.startsWith('system.posix_acl_')) {
      return true;
    }
    const plain = name.replace(/^user\.overlay\.overlay\./, 'user.overlay.');
    return (
      (name.startsWith('trusted.') && !name.startsWith('trusted.overlay.')) ||
      (plain !== name && found.xattrs[plain] === expected.xattrs[name])
    );
  }
  // What the layer calls `user.overlay.` it writes as it is, without escaping it.
  return (
    expected.xattrs[name] === undefined &&
    name.startsWith('user.overlay.') &&
    expected.xattrs[escaped(name)] === found.xattrs[name]
  );
}

/** Paths of whiteouts that the layer has and that hide nothing. */
function droppedWhiteouts(notes: readonly Note[]): Set<string> {
  const paths = new Set<string>();
  for (const { kind, path } of notes) {
    if (kind === 'whiteout-dropped') {
      paths.add(path);
      paths.add(path.replace(/(^|\/)\.wh\.([^/]+)$/, '$1$2'));
    }
  }
  return paths;
}
