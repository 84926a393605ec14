// What makes the kinds of snapshotter different; all the rest is in local-snapshotter.ts.

import type { SnapshotKind } from '../metadata/index.js';
import type { LayerOptions } from '../native/index.js';
import type { Mount, SnapshotterKind } from './snapshotter.js';

/** An active snapshot or view that is to be mounted. */
export interface MountSource {
  kind: SnapshotKind;
  /** Its directory, which holds `fs`. */
  directory: string;
  /** The `fs` of its parents, the nearest first. */
  parents: readonly string[];
}

export interface Driver {
  readonly kind: SnapshotterKind;
  readonly format: LayerOptions['format'];
  /** A snapshot starts as a full copy of its parent. */
  readonly flat: boolean;
  /** Beside `fs`, an active snapshot has a `work` directory. */
  readonly hasWork: boolean;
  mounts(source: MountSource): Mount[];
}

/** A bind mount, as containerd gives it. */
export function bindMount(source: string, options: readonly ['ro' | 'rw', 'rbind']): Mount {
  return { type: 'bind', source, options: [...options] };
}
