// The records of containerd's databases, out of their buckets. Layout: containerd's core/metadata/buckets.go and
// core/snapshots/storage/bolt.go. A record that is malformed is damage; what a newer version adds is passed over.

import type { BoltBucket } from '../bolt/index.js';
import { UnpackError } from '../errors.js';
import { type Descriptor, isDigest } from '../oci/index.js';
import { decodeTime, decodeUvarint, decodeVarint } from './binary.js';

interface Times {
  /** RFC 3339, to the nanosecond; empty where the record has none. */
  createdAt: string;
  updatedAt: string;
}

/** An image of a namespace. */
export interface ContainerdImage extends Times {
  name: string;
  target: Descriptor;
  labels: Record<string, string>;
}

/** A blob that belongs to a namespace. */
export interface ContainerdBlob extends Times {
  digest: string;
  /** Bytes. */
  size: number;
  labels: Record<string, string>;
}

/** As in containerd. */
export type ContainerdSnapshotKind = 'view' | 'active' | 'committed';

/** A snapshot of a namespace. */
export interface ContainerdSnapshot extends Times {
  /** In the namespace; of a committed one as a rule its chainID. */
  key: string;
  snapshotter: string;
  /** What its snapshotter calls it. */
  name: string;
  /** Key of the parent; empty where there is none. */
  parent: string;
  labels: Record<string, string>;
  /** What the snapshotter knows; undefined where it has no such snapshot, or its database is not there. */
  stored?: StoredSnapshot | undefined;
}

/** A snapshot as its snapshotter has it. */
export interface StoredSnapshot extends Times {
  name: string;
  /** Decimal; the name of its directory. */
  id: string;
  kind: ContainerdSnapshotKind;
  /** Name of the parent; empty where there is none. */
  parent: string;
  labels: Record<string, string>;
  /** Of a committed one: what it takes. Bytes. */
  size?: number;
  inodes?: number;
  /** The directory with its files; undefined for snapshotters that have none. */
  directory?: string;
}

/** A container of a namespace. */
export interface ContainerdContainer extends Times {
  id: string;
  /** Name of an image; may be empty, as the others. */
  image: string;
  snapshotter: string;
  snapshotKey: string;
  runtime: string;
  labels: Record<string, string>;
}

/** A record's bucket, with what it is called in errors. */
export class RecordReader {
  readonly #bucket: BoltBucket;
  readonly #file: string;
  readonly #name: string;

  constructor(bucket: BoltBucket, file: string, name: string) {
    this.#bucket = bucket;
    this.#file = file;
    this.#name = name;
  }

  fail(problem: string): never {
    throw new UnpackError('ERR_INVALID_STORE', `${this.#file}: ${this.#name}: ${problem}`, {
      path: this.#file,
    });
  }

  text(key: string): string {
    return this.#value(key)?.toString() ?? '';
  }

  /** A signed varint that is a number of bytes or things; undefined where there is none. */
  count(key: string): number | undefined {
    const bytes = this.#value(key);
    if (bytes === undefined) {
      return undefined;
    }
    const value = decodeVarint(bytes) ?? -1n;
    if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
      this.fail(`${key} is not a number of bytes or things`);
    }
    return Number(value);
  }

  /** An unsigned varint, as decimal. */
  id(key: string): string {
    const bytes = this.#value(key);
    const value = bytes === undefined ? undefined : decodeUvarint(bytes);
    return value === undefined ? this.fail(`${key} is not a number`) : String(value);
  }

  /** The one byte under a key. */
  byte(key: string): number | undefined {
    const bytes = this.#value(key);
    return bytes?.length === 1 ? bytes[0] : undefined;
  }

  times(): Times {
    return { createdAt: this.#time('createdat'), updatedAt: this.#time('updatedat') };
  }

  map(key: string): Record<string, string> {
    const pairs: [string, string][] = [];
    for (const entry of this.#below(key)?.entries() ?? []) {
      pairs.push([
        entry.key.toString(),
        entry.value?.toString() ?? this.fail(`${key} is no map of texts`),
      ]);
    }
    return Object.fromEntries(pairs);
  }

  /** A record within this one. */
  record(key: string): RecordReader | undefined {
    const bucket = this.#below(key);
    return bucket && new RecordReader(bucket, this.#file, `${this.#name}: ${key}`);
  }

  #value(key: string): Buffer | undefined {
    const entry = this.#bucket.entry(key);
    return entry?.bucket === undefined ? entry?.value : this.fail(`${key} is not a value`);
  }

  #below(key: string): BoltBucket | undefined {
    const entry = this.#bucket.entry(key);
    return entry?.value === undefined ? entry?.bucket : this.fail(`${key} is not a bucket`);
  }

  #time(key: string): string {
    const bytes = this.#value(key);
    return bytes === undefined ? '' : (decodeTime(bytes) ?? this.fail(`${key} is not a time`));
  }
}

/** An image's record. */
export function readImage(record: RecordReader, name: string): ContainerdImage {
  const target = record.record('target') ?? record.fail('has no target');
  const digest = target.text('digest');
  if (!isDigest(digest)) {
    target.fail(`${JSON.stringify(digest)} is not a digest`);
  }
  const mediaType = target.text('mediatype');
  if (!/^[!-~]+\/[!-~]+$/.test(mediaType)) {
    target.fail(`${JSON.stringify(mediaType)} is not a media type`);
  }
  const size = target.count('size') ?? target.fail('has no size');
  // Here, not in the target's bucket.
  const annotations = record.map('annotations');
  return {
    name,
    target: {
      mediaType,
      digest,
      size,
      ...(Object.keys(annotations).length > 0 && { annotations }),
    },
    labels: record.map('labels'),
    ...record.times(),
  };
}

/** A blob's record. */
export function readBlob(record: RecordReader, digest: string): ContainerdBlob {
  return {
    digest,
    size: record.count('size') ?? record.fail('has no size'),
    labels: record.map('labels'),
    ...record.times(),
  };
}

/** A snapshot's record of a namespace. */
export function readSnapshot(
  record: RecordReader,
  key: string,
  snapshotter: string,
): ContainerdSnapshot {
  const name = record.text('name');
  return {
    key,
    snapshotter,
    name: name === '' ? record.fail('has no name') : name,
    parent: record.text('parent'),
    labels: record.map('labels'),
    ...record.times(),
  };
}

/** The kinds by the number that the snapshotter stores. */
const kinds: readonly (ContainerdSnapshotKind | undefined)[] = [
  undefined,
  'view',
  'active',
  'committed',
];

/** A snapshot's record of its snapshotter. */
export function readStoredSnapshot(record: RecordReader, name: string): StoredSnapshot {
  const size = record.count('size');
  const inodes = record.count('inodes');
  return {
    name,
    id: record.id('id'),
    kind: kinds[record.byte('kind') ?? 0] ?? record.fail('is of an unknown kind'),
    parent: record.text('parent'),
    labels: record.map('labels'),
    ...record.times(),
    ...(size !== undefined && { size }),
    ...(inodes !== undefined && { inodes }),
  };
}

/** A container's record. */
export function readContainer(record: RecordReader, id: string): ContainerdContainer {
  return {
    id,
    image: record.text('image'),
    snapshotter: record.text('snapshotter'),
    snapshotKey: record.text('snapshotKey'),
    runtime: record.record('runtime')?.text('name') ?? '',
    labels: record.map('labels'),
    ...record.times(),
  };
}
