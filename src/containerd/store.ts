// A containerd's store, read from its databases while it runs or not; nothing is ever written, and no lock is taken.

import { setTimeout as sleep } from 'node:timers/promises';
import { type BoltBucket, BoltFile, type BoltTransaction } from '../bolt/index.js';
import { UnpackError } from '../errors.js';
import { decodeVarint } from './binary.js';
import {
  type ContainerdRoot,
  containerdRoot,
  snapshotDirectory,
  snapshotterFiles,
} from './layout.js';
import {
  type ContainerdBlob,
  type ContainerdContainer,
  type ContainerdImage,
  type ContainerdSnapshot,
  RecordReader,
  readBlob,
  readContainer,
  readImage,
  readSnapshot,
  readStoredSnapshot,
  type StoredSnapshot,
} from './records.js';

/** The layout of the buckets, of both databases. */
const schema = 'v1';
/** The newest version of the schema that is known: containerd's `dbVersion`. */
const maxVersion = 4;
/** Milliseconds to wait until a snapshot that is missing may have appeared: a commit is two transactions. */
const commitWaits = [10, 20, 40, 80, 160, 320];

/** An open store. */
export class ContainerdStore {
  readonly root: ContainerdRoot;
  readonly #metadata: BoltFile;

  private constructor(root: ContainerdRoot, metadata: BoltFile) {
    this.root = root;
    this.#metadata = metadata;
  }

  /**
   * Opens the store below a root directory, as `/var/lib/containerd` is.
   *
   * @throws UnpackError `ERR_NOT_FOUND` where there is none, `ERR_PERMISSION`
   */
  static open(directory?: string): ContainerdStore {
    const root = containerdRoot(directory);
    return new ContainerdStore(root, BoltFile.open(root.metadata));
  }

  close(): void {
    this.#metadata.close();
  }

  /** The namespaces with their labels. */
  namespaces(): Promise<{ name: string; labels: Record<string, string> }[]> {
    return this.#metadata.view((transaction) => {
      const list = [];
      for (const { key, bucket } of schemaBucket(transaction)?.entries() ?? []) {
        if (bucket !== undefined) {
          const name = key.toString();
          const record = new RecordReader(bucket, transaction.file, `namespace ${name}`);
          list.push({ name, labels: record.map('labels') });
        }
      }
      return list;
    });
  }

  /** The images of a namespace, by name. */
  images(namespace: string): Promise<ContainerdImage[]> {
    return this.#list(namespace, ['images'], 'image', readImage);
  }

  /** The image of a name; undefined where there is none. */
  image(namespace: string, name: string): Promise<ContainerdImage | undefined> {
    return this.#metadata.view((transaction) => {
      const bucket = schemaBucket(transaction)?.at(namespace, 'images', name);
      return bucket && readImage(new RecordReader(bucket, transaction.file, `image ${name}`), name);
    });
  }

  /** The blobs of a namespace, by digest. */
  blobs(namespace: string): Promise<ContainerdBlob[]> {
    return this.#list(namespace, ['content', 'blob'], 'blob', readBlob);
  }

  /** The containers of a namespace, by id. */
  containers(namespace: string): Promise<ContainerdContainer[]> {
    return this.#list(namespace, ['containers'], 'container', readContainer);
  }

  /**
   * The snapshots of a namespace, by snapshotter and key, each with what its snapshotter knows of it.
   *
   * The two databases have no transaction in common; a snapshot that the snapshotter does not have is looked for again
   * until it cannot be one that is just being made, committed or removed.
   */
  async snapshots(namespace: string): Promise<ContainerdSnapshot[]> {
    for (const wait of [...commitWaits, undefined]) {
      const snapshots = await this.#snapshotRecords(namespace);
      const isComplete = await this.#addStored(snapshots);
      if (isComplete || wait === undefined) {
        return snapshots;
      }
      await sleep(wait);
    }
    return []; // The last wait is none.
  }

  /** All snapshots that a snapshotter has, of all namespaces, by name; undefined where it has no database here. */
  async storedSnapshots(snapshotter: string): Promise<Map<string, StoredSnapshot> | undefined> {
    const files = snapshotterFiles(this.root, snapshotter);
    if (files === undefined) {
      return undefined;
    }
    let database: BoltFile;
    try {
      database = BoltFile.open(files.metadata);
    } catch (error) {
      if (error instanceof UnpackError && error.code === 'ERR_NOT_FOUND') {
        return undefined;
      }
      throw error;
    }
    try {
      return await database.view((transaction) => {
        const bucket = schemaBucket(transaction)?.bucket('snapshots');
        const records = recordsOf(bucket, transaction.file, 'snapshot', readStoredSnapshot);
        return new Map(
          records.map((record) => {
            const directory = snapshotDirectory(files.snapshots, snapshotter, record.id);
            return [record.name, { ...record, ...(directory !== undefined && { directory }) }];
          }),
        );
      });
    } finally {
      database.close();
    }
  }

  #list<T>(
    namespace: string,
    path: readonly string[],
    what: string,
    read: (record: RecordReader, key: string) => T,
  ): Promise<T[]> {
    return this.#metadata.view((transaction) => {
      const bucket = schemaBucket(transaction)?.at(namespace, ...path);
      return recordsOf(bucket, transaction.file, what, read);
    });
  }

  #snapshotRecords(namespace: string): Promise<ContainerdSnapshot[]> {
    return this.#metadata.view((transaction) => {
      const list: ContainerdSnapshot[] = [];
      const snapshotters = schemaBucket(transaction)?.at(namespace, 'snapshots');
      for (const { key, bucket } of snapshotters?.entries() ?? []) {
        const snapshotter = key.toString();
        list.push(
          ...recordsOf(bucket, transaction.file, 'snapshot', (record, name) =>
            readSnapshot(record, name, snapshotter),
          ),
        );
      }
      return list;
    });
  }

  /** Adds what the snapshotters know; false when one of those that are here lacks a snapshot. */
  async #addStored(snapshots: readonly ContainerdSnapshot[]): Promise<boolean> {
    let isComplete = true;
    for (const snapshotter of new Set(snapshots.map((one) => one.snapshotter))) {
      const stored = await this.storedSnapshots(snapshotter);
      for (const snapshot of snapshots) {
        if (snapshot.snapshotter === snapshotter && stored !== undefined) {
          snapshot.stored = stored.get(snapshot.name);
          isComplete &&= snapshot.stored !== undefined;
        }
      }
    }
    return isComplete;
  }
}

/** The records in a bucket, each a bucket of its own. */
function recordsOf<T>(
  bucket: BoltBucket | undefined,
  file: string,
  what: string,
  read: (record: RecordReader, key: string) => T,
): T[] {
  const list: T[] = [];
  for (const entry of bucket?.entries() ?? []) {
    const key = entry.key.toString();
    if (entry.bucket === undefined) {
      throw new UnpackError('ERR_INVALID_STORE', `${file}: ${what} ${key}: is not a bucket`, {
        path: file,
      });
    }
    list.push(read(new RecordReader(entry.bucket, file, `${what} ${key}`), key));
  }
  return list;
}

/**
 * The bucket of the schema that is known here; undefined in a database that nothing was written to.
 *
 * @throws UnpackError `ERR_UNKNOWN_STORE_VERSION`
 */
function schemaBucket({ root, file }: BoltTransaction): BoltBucket | undefined {
  const bucket = root.bucket(schema);
  const refuse = (found: string): never => {
    throw new UnpackError(
      'ERR_UNKNOWN_STORE_VERSION',
      `${file}: ${found}; containerd's schema ${schema} up to version ${maxVersion} is known here`,
      { path: file },
    );
  };
  if (bucket === undefined) {
    const [first] = root.entries();
    return first === undefined
      ? undefined
      : refuse(`has no schema ${schema}, but ${JSON.stringify(first.key.toString())}`);
  }
  const version = bucket.get('version');
  const number = version === undefined ? 0n : decodeVarint(version);
  if (number === undefined || number < 0n || number > BigInt(maxVersion)) {
    refuse(`has version ${number ?? 'unreadable'} of schema ${schema}`);
  }
  return bucket;
}
