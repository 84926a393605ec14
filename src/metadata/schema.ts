// The schema of the metadata: what is stored, under which key, in which form, and which version that is.
// One LMDB tree in `<root>/metadata/`. A key is text, `<bucket>\t<part>[\t<part>...]`, so that a bucket, a namespace or
// the snapshots of one kind are a range; parts hold no control characters (names.ts). A value is a JSON array, fields
// by position (compact, and quick to read by the hundred thousand: codec.ts).

import type { Descriptor } from '../oci/index.js';

/**
 * The version that this code writes. A store of an older version is migrated when it is opened for writing, in one
 * transaction; one of a newer version is refused (`ERR_STORE_VERSION`).
 *
 * - 1: the first.
 */
export const schemaVersion = 1;

/**
 * The buckets. Images, containers and leases belong to a namespace. Content and snapshots are shared by all namespaces,
 * as containerd's content store and snapshotters themselves are: what one namespace has unpacked no other unpacks again.
 *
 * | bucket | key | value |
 * |---|---|---|
 * | `meta` | `m\tversion` | number: the version of the schema |
 * | `namespaces` | `n\t<namespace>` | labels, createdAt |
 * | `images` | `i\t<namespace>\t<name>` | {@link Image} |
 * | `content` | `b\t<digest>` | {@link ContentInfo}: a blob at `blobs/<alg>/<hex>` |
 * | `snapshots` | `s\t<snapshotter>\t<key>` | {@link Snapshot} |
 * | `children` | `p\t<snapshotter>\t<parent key>\t<key>` | true: index of snapshots by parent |
 * | `sequences` | `q\t<snapshotter>` | number: the last id that was given to a snapshot; never given again |
 * | `containers` | `c\t<namespace>\t<id>` | {@link Container} |
 * | `leases` | `l\t<namespace>\t<id>` | {@link Lease} |
 * | `leaseResources` | `r\t<namespace>\t<lease id>\t<type>\t<resource id>` | true: {@link LeaseResource} |
 *
 * Ingests have no records: all of one lies in its directory, `ingest/<hash of its ref>/`, which one process
 * at a time has locked; a lease can hold it by its ref.
 */
export const buckets = {
  meta: 'm',
  namespaces: 'n',
  images: 'i',
  content: 'b',
  snapshots: 's',
  children: 'p',
  sequences: 'q',
  containers: 'c',
  leases: 'l',
  leaseResources: 'r',
} as const;

export type Bucket = keyof typeof buckets;

/** A step of the migration: makes a store of version `from` one of version `from` + 1. */
export interface Migration {
  from: number;
  /** Runs in the write transaction of the whole migration. */
  run(store: RawStore): void;
}

/** The raw keys and values, for migrations. */
export interface RawStore {
  get(key: string): unknown;
  put(key: string, value: unknown): void;
  remove(key: string): void;
  /** In order of the keys; may be changed while it is read, since it is read first. */
  entries(bucket: Bucket): { key: string; value: unknown }[];
}

/** All migrations, one per version that there was. */
export const migrations: readonly Migration[] = [];

/** Names to values, as containerd has them; a name and its value are at most 4096 bytes together. */
export type Labels = Readonly<Record<string, string>>;

/** Labels to merge into those that are there; null takes a label away. */
export type LabelChanges = Readonly<Record<string, string | null>>;

/** Milliseconds since 1970 (UTC). */
export type Time = number;

/** A name for an image. */
export interface Image {
  name: string;
  /** The manifest or index that it names. */
  target: Descriptor;
  labels: Labels;
  createdAt: Time;
  updatedAt: Time;
}

/** A blob. */
export interface ContentInfo {
  digest: string;
  /** Bytes. */
  size: number;
  labels: Labels;
  createdAt: Time;
  updatedAt: Time;
}

/** The kinds of snapshot, as containerd has them: writable, read-only, and what others can be on top of. */
export type SnapshotKind = 'active' | 'view' | 'committed';

export const snapshotKinds: readonly SnapshotKind[] = ['active', 'view', 'committed'];

/** What a snapshot takes by itself, without its parents. */
export interface Usage {
  /** Bytes. */
  size: number;
  inodes: number;
}

/**
 * Whether the files of a committed snapshot are known to be on the disk. `unsynced` is to be trusted in the boot of
 * `bootID` only.
 */
export type Durability = 'unsynced' | 'durable';

export interface Snapshot {
  /** Unique in its snapshotter. A committed snapshot has the name that it was committed under. */
  key: string;
  /** The same as `key`: what containerd's `Info` calls it. */
  name: string;
  /** Internal: names its directory; unique in its snapshotter, for ever. At least 1. */
  id: number;
  kind: SnapshotKind;
  /** Key of a committed snapshot. */
  parent?: string | undefined;
  labels: Labels;
  /** Of committed snapshots. */
  usage?: Usage | undefined;
  durability: Durability;
  /** /proc/sys/kernel/random/boot_id when it was committed; of unsynced snapshots. */
  bootID?: string | undefined;
  createdAt: Time;
  updatedAt: Time;
}

export interface Container {
  id: string;
  /** Name of its image; empty for none. */
  image: string;
  /** Kind of snapshotter, `overlayfs`; empty for none. */
  snapshotter: string;
  /** Key of its active snapshot; empty for none. */
  snapshotKey: string;
  /** Whatever the maker of the container needs: JSON. */
  spec: unknown;
  labels: Labels;
  createdAt: Time;
  updatedAt: Time;
}

/** Keeps resources from garbage collection until it is deleted or expires. */
export interface Lease {
  id: string;
  labels: Labels;
  createdAt: Time;
  /** From then on it is as if it were not there. */
  expiresAt?: Time | undefined;
}

/** Something that garbage collection keeps or takes. */
export interface Resource {
  /** `content`, `snapshots/<snapshotter>`, `ingests`; in chains of references also `images`, `containers`, `leases`. */
  type: string;
  /** A digest, a key, a ref, a name. */
  id: string;
}

/** What a lease can hold: `content`, `snapshots/<snapshotter>`, `ingests`. */
export type LeaseResource = Resource;

/** Labels that mean something to garbage collection; the names are containerd's. */
export const gcLabels = {
  /** On content and snapshots: keeps it, whatever the value. */
  root: 'containerd.io/gc.root',
  /** `...content`, `...content.<anything>`, `...content/<anything>`: digest of a blob that this resource needs. */
  refContent: 'containerd.io/gc.ref.content',
  /** `...snapshot.<snapshotter>`, with `/` and anything after it: key of a snapshot that this resource needs. */
  refSnapshot: 'containerd.io/gc.ref.snapshot.',
  /** On a lease: holds its resources alone and not what they refer to. */
  flat: 'containerd.io/gc.flat',
} as const;

/**
 * Label names that are stored as their number here. Only ever add at the end.
 */
export const knownLabels: readonly string[] = [
  'containerd.io/gc.root',
  'containerd.io/uncompressed',
  'containerd.io/snapshot.ref',
  'containerd.io/gc.ref.content.config',
  'containerd.io/gc.ref.snapshot.overlayfs',
  'containerd.io/gc.ref.snapshot.native',
  'containerd.io/gc.ref.snapshot.aufs',
  ...Array.from({ length: 32 }, (_, layer) => `containerd.io/gc.ref.content.l.${layer}`),
  ...Array.from({ length: 8 }, (_, manifest) => `containerd.io/gc.ref.content.m.${manifest}`),
];
