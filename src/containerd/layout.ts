// Where a containerd keeps what, below its root (containerd docs/ops.md): each plugin has a directory of its name.

import path from 'node:path';

/** Where containerd keeps its data unless told otherwise. */
export const defaultContainerdRoot = '/var/lib/containerd';

/** The namespace that `ctr` uses unless told otherwise. */
export const defaultContainerdNamespace = 'default';

/** The files of one containerd. */
export interface ContainerdRoot {
  /** Absolute path of the root. */
  directory: string;
  /** The database of images, content, snapshots and containers. */
  metadata: string;
  /** The content store, `blobs/<algorithm>/<hex>` below it. */
  content: string;
}

/** The files below a root. */
export function containerdRoot(root: string = defaultContainerdRoot): ContainerdRoot {
  const directory = path.resolve(root);
  return {
    directory,
    metadata: path.join(directory, 'io.containerd.metadata.v1.bolt', 'meta.db'),
    content: path.join(directory, 'io.containerd.content.v1.content'),
  };
}

/** A snapshotter's database and the directories of its snapshots; undefined for a name that is none. */
export function snapshotterFiles(
  { directory }: ContainerdRoot,
  snapshotter: string,
): { metadata: string; snapshots: string } | undefined {
  // The name comes out of a database: no path may be made of it that leaves the root.
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(snapshotter)) {
    return undefined;
  }
  const own = path.join(directory, `io.containerd.snapshotter.v1.${snapshotter}`);
  return { metadata: path.join(own, 'metadata.db'), snapshots: path.join(own, 'snapshots') };
}

/** Snapshotters whose snapshot is a directory of files, and where it lies below the one named by the id. */
const fileDirectories = new Map([
  ['overlayfs', 'fs'],
  ['native', ''],
]);

/** The directory with a snapshot's files; undefined for a kind of snapshotter that has none. */
export function snapshotDirectory(
  snapshots: string,
  snapshotter: string,
  id: string,
): string | undefined {
  const below = fileDirectories.get(snapshotter);
  return below === undefined ? undefined : path.join(snapshots, id, below);
}
