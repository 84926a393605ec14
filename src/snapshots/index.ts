// What the rest of src/ uses of src/snapshots/.

import path from 'node:path';
import { UnpackError } from '../errors.js';
import type { Database } from '../metadata/index.js';
import { aufsDriver } from './aufs.js';
import type { Driver } from './driver.js';
import { LocalSnapshotter } from './local-snapshotter.js';
import { nativeDriver } from './native.js';
import { type OverlayOptions, overlayDriver } from './overlayfs.js';
import type { LayerSnapshotter, SnapshotterKind } from './snapshotter.js';

export { bootID, inUserNamespace, overlayHasIndex } from './boot.js';
export { liveMounts, type MountUse, mountedError } from './live-mounts.js';
export { mountAll, unmountAll, unmountOwn } from './mount.js';
export {
  type AdoptOptions,
  type CleanupReport,
  type LayerSnapshotter,
  type Mount,
  type SnapshotIdentity,
  type SnapshotInfo,
  type SnapshotOptions,
  type Snapshotter,
  type SnapshotterKind,
  type Staging,
  snapshotterKinds,
} from './snapshotter.js';

export interface OpenSnapshotterOptions extends OverlayOptions {
  /** Of the store; the snapshotter's own directory is {@link snapshotterRoot} of it. */
  root: string;
  database: Database;
  /** Default `overlayfs`. */
  kind?: SnapshotterKind | undefined;
  /** Threads that copy (kind native) or measure a tree, 1 to 64. Default: the processors that this process may use. */
  threads?: number | undefined;
  /** What unsynced snapshots are trusted in: the running boot by default; a store has a narrower identity. */
  bootID?: (() => string) | undefined;
}

/**
 * A snapshotter of the store at `root`. Nothing is read or written yet. The database stays the caller's: close the
 * snapshotter before it.
 *
 * @throws UnpackError `ERR_INVALID_ARGUMENT`
 */
export function openSnapshotter(options: OpenSnapshotterOptions): LayerSnapshotter {
  const kind = options.kind ?? 'overlayfs';
  return new LocalSnapshotter({
    root: snapshotterRoot(options.root, kind),
    database: options.database,
    driver: driverOf(kind, options),
    threads: options.threads,
    bootID: options.bootID,
  });
}

/**
 * The directory of one kind in a store, which holds its `snapshots/<id>` and `staging`: the store's own for overlayfs,
 * one named after the kind for the others, since each counts its ids by itself.
 */
export function snapshotterRoot(root: string, kind: SnapshotterKind): string {
  return kind === 'overlayfs' ? root : path.join(root, kind);
}

function driverOf(kind: SnapshotterKind, options: OverlayOptions): Driver {
  switch (kind) {
    case 'overlayfs':
      return overlayDriver(options);
    case 'native':
      return nativeDriver();
    case 'aufs':
      return aufsDriver();
    default:
      throw new UnpackError('ERR_INVALID_ARGUMENT', `there is no snapshotter ${String(kind)}`);
  }
}
