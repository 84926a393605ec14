// Layers whose directory was written through an overlay mount: by a containerd in a user namespace or before 1.3, which
// apply so, and by containers, of which an image was built. The kernel then says in its way what the layer's tar says, and
// the tar of a built layer has less than the directory (containerd's and moby's archive packages: whole seconds, no
// sockets, of xattrs capabilities alone).

import { lstatSync, type Stats } from 'node:fs';
import { type Difference, type LayerTree, loadBinding } from '../native/index.js';

/** Paths at and below one directory that are looked at. */
const mostPaths = 1_000_000;

/** Takes out what is in the way of a kernel: marks that hide just what the layer hides. */
export function acceptMarks(
  differences: readonly Difference[],
  directory: string,
  tree: LayerTree,
  below: LayerTree | null,
): Difference[] {
  const list = (of: LayerTree | null, path: string) =>
    loadBinding().listMerged(of, path, mostPaths).paths;
  return differences.flatMap((difference) => {
    const { path, expected, found, fields } = difference;
    if (expected === null && found?.type === 'whiteout') {
      // One for each name rather than an opaque directory.
      const isRight = list(below, path).length > 0 && list(tree, path).length === 0;
      return isRight ? [] : [difference];
    }
    if (expected === null || found === null || expected.opaque === found.opaque) {
      return [difference];
    }
    const isRight = found.opaque
      ? list(tree, path).every((one) => kindAt(directory, one) !== undefined)
      : revived(list(below, path), list(tree, path)).every((one) =>
          isCovered(directory, path, one),
        );
    const rest = isRight ? fields.filter((field) => !/[.:]opaque$|^opaque$/.test(field)) : fields;
    return rest.length === 0
      ? []
      : [{ ...difference, fields: rest, ...(isRight && { expected: like(difference) }) }];
  });
}

/** Takes out what a tar that was made of a directory does not have. */
export function acceptBuilt(differences: readonly Difference[]): Difference[] {
  const wasBuilt = differences.some(hasFraction);
  return differences.flatMap((difference) => {
    const { expected, found, fields } = difference;
    if (expected === null && found?.type === 'socket') {
      return [];
    }
    const rest = fields.filter(
      (field) =>
        !(field === 'mtime' && hasFraction(difference)) &&
        !(wasBuilt && isUnrecorded(field, difference)),
    );
    return fields.length > 0 && rest.length === 0 ? [] : [{ ...difference, fields: rest }];
  });
}

/** The marks being as right as they are, nobody is to read them as a finding. */
function like({ expected, found }: Difference): Difference['expected'] {
  if (expected === null || found === null) {
    return expected;
  }
  const { opaque: _, ...rest } = expected;
  return found.opaque ? { ...rest, opaque: true } : rest;
}

function revived(below: readonly string[], truth: readonly string[]): string[] {
  const shown = new Set(truth);
  return below.filter((path) => !shown.has(path));
}

/** Whether something in the layer, at or above a path but below `top`, hides it in the layers below. */
function isCovered(directory: string, top: string, path: string): boolean {
  const parts = path.slice(top === '' ? 0 : top.length + 1).split('/');
  for (let length = 1; length <= parts.length; length++) {
    const at = [...(top === '' ? [] : [top]), ...parts.slice(0, length)].join('/');
    const kind = kindAt(directory, at);
    if (kind !== 'directory') {
      return kind !== undefined;
    }
    if (isOpaque(`${directory}/${at}`)) {
      return true;
    }
  }
  return true;
}

function isOpaque(path: string): boolean {
  return ['trusted', 'user'].some(
    (space) =>
      loadBinding()
        .readXattr({ path, name: `${space}.overlay.opaque` })
        ?.toString() === 'y',
  );
}

// A path that is not UTF-8 counts as not there.
function kindAt(directory: string, path: string): 'directory' | 'other' | undefined {
  let stats: Stats | undefined;
  try {
    stats = lstatSync(`${directory}/${path}`, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
  return stats && (stats.isDirectory() ? 'directory' : 'other');
}

/** Whether the times are of the same second, and the tar has no fraction of it. */
function hasFraction({ expected, found }: Difference): boolean {
  return (
    expected !== null &&
    expected.mtimeSeconds === found?.mtimeSeconds &&
    expected.mtimeNanoseconds === 0 &&
    found.mtimeNanoseconds !== 0
  );
}

/** An xattr that the tar of a built layer does not have; overlayfs' own marks it has in its way. */
function isUnrecorded(field: string, { expected }: Difference): boolean {
  const name = field.startsWith('xattr:') ? field.slice('xattr:'.length) : undefined;
  return (
    name !== undefined &&
    expected?.xattrs[name] === undefined &&
    !/^(user|trusted)\.overlay\./.test(name)
  );
}
