// One way to unpack the image: the directories that it made, the marks that are really on them, and the tree that the
// kernel really shows of them.

import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { loadBinding } from '../native/index.js';
import { expectedTree, explainedLayers, replacedDirectory } from './image.js';
import { listTree, withOverlay } from './mounts.js';

/** Which one: through a mount, the same on an old kernel, or by oci-unpack. */
export type WayID = 'through-mount' | 'old-kernel' | 'oci-unpack';

/** The directory of one layer. */
export interface WayLayer {
  name: string;
  /** Gone when the command has ended, unless it keeps them. */
  directory: string;
  /** All paths in it, sorted; a whiteout among them is one of {@link WayLayer.whiteouts}. */
  paths: string[];
  whiteouts: string[];
  /** Value of the xattr that marks an opaque directory, by directory; null where there is none. */
  opaque: Record<string, string | null>;
}

/** What came out. */
export interface Way {
  id: WayID;
  /** Bottom first. */
  layers: WayLayer[];
  /** All paths of the mounted image, sorted. */
  tree: string[];
  /** What the image has and the mount does not show. */
  missing: string[];
  /** What the image has deleted and the mount shows. */
  extra: string[];
}

/** Looks at `directories`, bottom first, and at what they show when they are mounted at `target`. */
export async function lookAt(
  id: WayID,
  directories: readonly string[],
  target: string,
  marks: { opaque: string; userxattr: boolean },
): Promise<Way> {
  const { opaque, userxattr } = marks;
  const layers = await Promise.all(
    directories.map((directory, number) =>
      lookAtLayer(explainedLayers[number]?.name ?? String(number), directory, opaque),
    ),
  );
  const lowers = directories.toReversed();
  const tree = await withOverlay({ lowers, userxattr }, target, () => listTree(target));
  return {
    id,
    layers,
    tree,
    missing: expectedTree.filter((one) => !tree.includes(one)),
    extra: tree.filter((one) => !expectedTree.includes(one)),
  };
}

async function lookAtLayer(name: string, directory: string, opaque: string): Promise<WayLayer> {
  const paths = await listTree(directory);
  const marks: Record<string, string | null> = {};
  const whiteouts: string[] = [];
  for (const one of paths) {
    const file = path.join(directory, one);
    const found = await lstat(file);
    if (found.isDirectory()) {
      marks[one] = loadBinding().readXattr({ path: file, name: opaque })?.toString() ?? null;
    } else if (found.isCharacterDevice() && found.rdev === 0) {
      whiteouts.push(one);
    }
  }
  return { name, directory, paths, whiteouts, opaque: marks };
}

/** Of the directory that it is all about. */
export function markOf(layer: WayLayer): string | null {
  return layer.opaque[replacedDirectory] ?? null;
}
