// What every kind of snapshotter must do: the behaviours that containerd's own snapshotter suite asks for, and more.
// All mounts are real, in this process's mount namespace; aufs, which current kernels lack, is stood in for by
// test/support/aufs-union.ts where it would be mounted.

import type { SnapshotterKind } from '../../src/snapshots/index.js';
import { filesSuite } from './suite-files.js';
import { recordsSuite } from './suite-records.js';

/** Describes the suite for one kind. */
export function snapshotterSuite(kind: SnapshotterKind): void {
  recordsSuite(kind);
  filesSuite(kind);
}
