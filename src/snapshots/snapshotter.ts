/**
 * The interface of a snapshotter, with containerd's operations and rules, and what an unpacker needs beyond them: a
 * layer that was written somewhere on the same file system becomes a committed snapshot by one rename.
 */

import type { UnpackError } from '../errors.js';
import type { Durability, Labels, SnapshotKind, Transaction, Usage } from '../metadata/index.js';
import type { LayerOptions } from '../native/index.js';

export type { Durability, Labels, SnapshotKind, Usage } from '../metadata/index.js';

/** The kinds of snapshotter. */
export type SnapshotterKind = 'overlayfs' | 'native' | 'aufs';

export const snapshotterKinds: readonly SnapshotterKind[] = ['overlayfs', 'native', 'aufs'];

/** A mount in containerd's shape: `mount -t TYPE -o OPTIONS SOURCE TARGET`; `bind` stands for no type. */
export interface Mount {
  type: 'bind' | 'overlay' | 'aufs';
  source: string;
  options: string[];
}

/** What is known of a snapshot. */
export interface SnapshotInfo {
  /** The key of an active snapshot or view, the name of a committed one. */
  name: string;
  kind: SnapshotKind;
  /** Name of the committed snapshot below; undefined for none. */
  parent: string | undefined;
  labels: Labels;
  /** Milliseconds since 1970. A commit counts as creation. */
  createdAt: number;
  updatedAt: number;
  /** What a committed snapshot takes by itself. */
  usage: Usage | undefined;
  /**
   * Of committed snapshots, and of active ones that are copies: `durable` on the disk; `unsynced` written in this boot; `lost` written in an earlier
   * boot that ended before it was on the disk, so that it may not be used and must be made again.
   */
  durability: Durability | 'lost';
  /** Its directory: `fs`, `work` of an active overlay, `tree.idx` of an unpacked layer. */
  directory: string;
}

export interface SnapshotOptions {
  /** Kept as they are; what they mean is up to others (`containerd.io/snapshot.ref`, `containerd.io/gc.root`). */
  labels?: Labels | undefined;
  /** The id of a lease that holds the snapshot from its beginning. */
  lease?: string | undefined;
}

/**
 * containerd's Snapshotter. All reject with UnpackError; besides those named with each method `ERR_NO_SPACE`,
 * `ERR_PERMISSION`, `ERR_IO`, `ERR_INVALID_ARGUMENT`, `ERR_STORE_READ_ONLY`.
 */
export interface Snapshotter {
  readonly kind: SnapshotterKind;

  /** @throws `ERR_STORE_NOT_FOUND` */
  stat(key: string): Promise<SnapshotInfo>;

  /**
   * Replaces the labels of `info.name`, or of `fieldPaths` only those that they name: `labels`, `labels.NAME` (taken
   * away where `info.labels` lacks it). Nothing else can be changed.
   *
   * @throws `ERR_STORE_NOT_FOUND`, `ERR_INVALID_ARGUMENT` for another path
   */
  update(info: { name: string; labels: Labels }, ...fieldPaths: string[]): Promise<SnapshotInfo>;

  /** Measured now for an active snapshot, as recorded for a committed one, 0 for a view. @throws `ERR_STORE_NOT_FOUND` */
  usage(key: string): Promise<Usage>;

  /**
   * How to mount an active snapshot or a view.
   *
   * @throws `ERR_STORE_NOT_FOUND`, `ERR_STORE_IN_USE` for a committed one, `ERR_SNAPSHOT_LOST`
   */
  mounts(key: string): Promise<Mount[]>;

  /**
   * Makes a writable snapshot on top of the committed `parent` ('' or undefined for none).
   *
   * @throws `ERR_STORE_EXISTS`; `ERR_STORE_NOT_FOUND` for the parent, `ERR_STORE_IN_USE` for one that is not committed;
   * `ERR_SNAPSHOT_LOST`
   */
  prepare(key: string, parent: string | undefined, options?: SnapshotOptions): Promise<Mount[]>;

  /** Makes a read-only snapshot on top of `parent`; it cannot be committed. @throws as {@link Snapshotter.prepare} */
  view(key: string, parent: string | undefined, options?: SnapshotOptions): Promise<Mount[]>;

  /**
   * Makes the active snapshot `key` the committed one `name`, with the given labels and no others; `key` is free then.
   *
   * @throws `ERR_STORE_NOT_FOUND`, `ERR_STORE_IN_USE` for one that is not active, `ERR_STORE_EXISTS` for the name
   */
  commit(name: string, key: string, options?: SnapshotOptions): Promise<void>;

  /** @throws `ERR_STORE_NOT_FOUND`, `ERR_STORE_IN_USE` for one with children */
  remove(key: string): Promise<void>;

  /**
   * Calls `visit` with each snapshot that one of the `filters` fits (`kind==active`, `name`, `parent`,
   * `labels."x"==y`), one after the other; all of them as they were when it began. `visit` may call the snapshotter.
   *
   * @throws `ERR_INVALID_FILTER`
   */
  walk(visit: (info: SnapshotInfo) => void | Promise<void>, ...filters: string[]): Promise<void>;

  /** Removes what no snapshot needs: directories without a record, what dead processes left. */
  cleanup(): Promise<CleanupReport>;

  /** Ends the use of this object; what it was writing is given up. May be called twice. */
  close(): Promise<void>;
}

/** What {@link Snapshotter.cleanup} removed. */
export interface CleanupReport {
  /** Directories of snapshots without a record. */
  orphans: number;
  /** Staging areas of processes that have ended. */
  sessions: number;
  /** What could not be removed, and why (something is mounted there); the next call tries again. */
  failures: readonly UnpackError[];
}

/** A directory for a layer that is being written; gone when it is adopted, discarded, or its process has ended. */
export interface Staging {
  /** Absolute; what lies in it is renamed as a whole. May hold anything beside `fs`: `tree.idx`, a report. */
  readonly directory: string;
  /** `directory/fs`, mode 0755, where the layer goes. */
  readonly fs: string;
  /** `directory/tree.idx`, where the engine puts the layer's index. */
  readonly treeIndex: string;
  /** Removes it; does nothing after adoption. */
  discard(): Promise<void>;
  /** As `discard`, but the removal is only waited for when the snapshotter is closed. */
  abandon(): Promise<void>;
}

export interface AdoptOptions extends SnapshotOptions {
  /** What it takes, where that is known; else `fs` is measured. */
  usage?: Usage | undefined;
  /** `durable` when the caller has synced all of it. Default `unsynced`. */
  durability?: Durability | undefined;
}

/** What names one state of a snapshot: another snapshot of the same name has another id. */
export interface SnapshotIdentity {
  name: string;
  id: number;
}

/** A snapshotter whose committed snapshots can be written by the engine. */
export interface LayerSnapshotter extends Snapshotter {
  /** {@link Snapshotter.remove} and, in the same transaction, `also`. */
  removeWith(key: string, also: (transaction: Transaction) => void): Promise<void>;
  /** The format in which layers must be written. */
  readonly format: LayerOptions['format'];
  /**
   * A committed snapshot holds all of its parents (kind native): a layer is written with format `flat`, and
   * settled into a `fs` that {@link LayerSnapshotter.seed} has filled.
   */
  readonly flat: boolean;

  /** A new staging directory, on the file system of the snapshots. */
  stage(): Promise<Staging>;

  /** Fills the empty `staging.fs` with a copy of the committed `parent` (kinds that are flat). */
  seed(staging: Staging, parent: string): Promise<void>;

  /**
   * Makes the staged layer the committed snapshot `name` on top of `parent`, whole or not at all, whoever dies when.
   * One that is `lost` is replaced, its children staying on top of it.
   *
   * @throws `ERR_STORE_EXISTS` when there is a good one of that name (the staging directory stays, to be
   * discarded); `ERR_STORE_NOT_FOUND`, `ERR_STORE_IN_USE` for the parent; `ERR_SNAPSHOT_MOUNTED` for a lost one that
   * somebody has mounted
   */
  adopt(
    name: string,
    parent: string | undefined,
    staging: Staging,
    options?: AdoptOptions,
  ): Promise<SnapshotInfo>;

  /**
   * Puts the staged files in the place of those of the committed snapshot `name`, whose record and path stay: in one step, so
   * that whoever dies when, or loses power, one or the other is there whole. Nothing may be mounted of the old ones.
   *
   * @throws `ERR_STORE_NOT_FOUND`, `ERR_STORE_IN_USE` for one that is not committed; `ERR_UNSUPPORTED` where the file
   * system cannot exchange directories
   */
  refresh(name: string, staging: Staging): Promise<SnapshotInfo>;

  /** Where the files of a committed snapshot lie. @throws `ERR_STORE_NOT_FOUND`, `ERR_SNAPSHOT_LOST` */
  layer(name: string): Promise<{ directory: string; fs: string; treeIndex: string }>;

  /** Snapshots that are not known to be on the disk, of this boot: committed ones, and active ones that are copies. */
  unsynced(): Promise<SnapshotIdentity[]>;

  /** Notes that these are on the disk; those that are gone are passed over. */
  markDurable(snapshots: readonly SnapshotIdentity[]): Promise<void>;

  /**
   * Writes the file system to its disk (syncfs) and then marks durable what was unsynced before: call it in the
   * background. Calls that come while one runs share the next.
   *
   * @throws `ERR_IO`, `ERR_NO_SPACE` when a write had failed; nothing is marked then
   */
  sync(): Promise<void>;
}
