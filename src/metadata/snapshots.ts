// Snapshots of one snapshotter: their records and the rules of containerd's Snapshotter for them. The directories
// are of src/snapshots/, which makes and removes them around these calls.

import { decodeSnapshot, encodeSnapshot } from './codec.js';
import { labelField } from './filters.js';
import type { LeaseStore } from './leases.js';
import { checkLabels, checkName, checkNumber, mergeLabels } from './names.js';
import { type RecordKind, RecordStore } from './record-store.js';
import {
  buckets,
  type Durability,
  type LabelChanges,
  type Labels,
  type Snapshot,
  type Usage,
} from './schema.js';
import type { Tree } from './tree.js';

const snapshotRecord: RecordKind<Snapshot> = {
  noun: 'snapshot',
  decode: decodeSnapshot,
  encode: encodeSnapshot,
  fieldOf: (snapshot, path) => {
    switch (path[0]) {
      case 'name':
      case 'key':
        return snapshot.key;
      case 'parent':
        return snapshot.parent;
      case 'kind':
        return snapshot.kind;
      case 'durability':
        return snapshot.durability;
      case 'labels':
        return labelField(snapshot.labels, path);
      default:
        return undefined;
    }
  },
};

/** What a snapshot gets when it is committed. */
export interface Committed {
  usage: Usage;
  durability: Durability;
  /** Of the running boot; for unsynced ones. */
  bootID?: string | undefined;
  /** The id of a lease that holds it from now on; a lease that held the active one does not. */
  lease?: string | undefined;
}

/** The snapshots of one snapshotter, in a transaction. */
export class SnapshotStore {
  readonly #tree: Tree;
  readonly #snapshotter: string;
  readonly #leases: LeaseStore;
  readonly #records: RecordStore<Snapshot>;

  constructor(tree: Tree, snapshotter: string, leases: LeaseStore) {
    this.#tree = tree;
    this.#snapshotter = snapshotter;
    this.#leases = leases;
    const prefix = `${buckets.snapshots}\t${snapshotter}\t`;
    this.#records = new RecordStore(tree, prefix, snapshotRecord, (key) => {
      checkName('snapshot key', key);
    });
  }

  /** @throws UnpackError `ERR_STORE_NOT_FOUND` */
  get(key: string): Snapshot {
    return this.#records.get(key);
  }

  find(key: string): Snapshot | undefined {
    return this.#records.find(key);
  }

  has(key: string): boolean {
    return this.#records.has(key);
  }

  /** By key. @param filters on `name`, `parent`, `kind`, `durability`, `labels.<name>` */
  list(filters?: readonly string[]): Snapshot[] {
    return this.#records.list(filters);
  }

  /** All keys. */
  keys(): string[] {
    return this.#records.ids();
  }

  /** The snapshot and those below it, itself first. @throws UnpackError `ERR_STORE_NOT_FOUND` */
  chain(key: string): Snapshot[] {
    const chain: Snapshot[] = [];
    for (let next: string | undefined = key; next !== undefined; ) {
      const snapshot = this.get(next);
      chain.push(snapshot);
      next = snapshot.parent;
    }
    return chain;
  }

  /** Keys of the snapshots on top of this one. */
  children(key: string): string[] {
    return Array.from(this.#tree.keys(this.#childrenOf(key)));
  }

  hasChildren(key: string): boolean {
    for (const _ of this.#tree.keys(this.#childrenOf(key), 1)) {
      return true;
    }
    return false;
  }

  /**
   * Rejects what {@link SnapshotStore.create} and {@link SnapshotStore.adopt} would, so that it can be told before the
   * work for it is done.
   *
   * @throws UnpackError as they do
   */
  checkCreatable(key: string, parent: string | undefined): void {
    if (this.has(key)) {
      this.#records.fail('ERR_STORE_EXISTS', key, 'is in the store already');
    }
    if (parent !== undefined && this.get(parent).kind !== 'committed') {
      this.#records.fail('ERR_STORE_IN_USE', parent, 'is not committed and cannot be a parent');
    }
  }

  /** Rejects what {@link SnapshotStore.commit} would. @returns the active one. @throws UnpackError as it does */
  checkCommittable(key: string, name: string): Snapshot {
    const active = this.get(key);
    if (active.kind !== 'active') {
      this.#records.fail('ERR_STORE_IN_USE', key, `is ${active.kind} and not active`);
    }
    if (this.has(name)) {
      this.#records.fail('ERR_STORE_EXISTS', name, 'is in the store already');
    }
    return active;
  }

  /**
   * Makes the record of an active snapshot or a view, with an id that none has had. `lease`: the id of a lease that
   * holds it from the beginning.
   *
   * @throws UnpackError `ERR_STORE_EXISTS`; `ERR_STORE_NOT_FOUND` for the parent, `ERR_STORE_IN_USE` for one that is not
   * committed
   */
  create(snapshot: {
    key: string;
    kind: 'active' | 'view';
    parent?: string | undefined;
    labels?: Labels | undefined;
    lease?: string | undefined;
    /** Of the running boot. */
    bootID?: string | undefined;
  }): Snapshot {
    const { key, kind } = snapshot;
    const parent = snapshot.parent === '' ? undefined : snapshot.parent;
    this.checkCreatable(key, parent);
    const now = Date.now();
    const record: Snapshot = {
      key,
      name: key,
      id: this.#nextID(),
      kind,
      parent,
      labels: checkLabels(snapshot.labels),
      durability: 'unsynced',
      bootID: snapshot.bootID,
      createdAt: now,
      updatedAt: now,
    };
    this.#insert(record, snapshot.lease);
    return record;
  }

  /**
   * Makes the active snapshot `key` the committed one `name`. Its id stays.
   *
   * @throws UnpackError `ERR_STORE_NOT_FOUND`, `ERR_STORE_IN_USE` for one that is not active, `ERR_STORE_EXISTS`
   */
  commit(
    key: string,
    name: string,
    committed: Committed & {
      /** Merged into the labels of the active one. */
      labels?: LabelChanges | undefined;
    },
  ): Snapshot {
    const active = this.checkCommittable(key, name);
    this.#remove(active);
    const record: Snapshot = {
      ...active,
      key: name,
      name,
      kind: 'committed',
      labels: mergeLabels(active.labels, committed.labels),
      ...committedFields(committed),
    };
    this.#insert(record, committed.lease);
    return record;
  }

  /**
   * Makes the record of a committed snapshot whose files were made elsewhere, with an id that none has had.
   *
   * @throws UnpackError as {@link SnapshotStore.create}
   */
  adopt(
    name: string,
    adopted: Committed & { parent?: string | undefined; labels?: Labels | undefined },
  ): Snapshot {
    const parent = adopted.parent === '' ? undefined : adopted.parent;
    this.checkCreatable(name, parent);
    const record: Snapshot = {
      key: name,
      name,
      id: this.#nextID(),
      kind: 'committed',
      parent,
      labels: checkLabels(adopted.labels),
      ...committedFields(adopted),
    };
    this.#insert(record, adopted.lease);
    return record;
  }

  /**
   * Gives the committed snapshot `name` other files: a new id, and what goes with it. Parent and children stay.
   *
   * @throws UnpackError `ERR_STORE_NOT_FOUND`, `ERR_STORE_IN_USE` for one that is not committed
   */
  replace(name: string, files: Committed & { labels?: LabelChanges | undefined }): Snapshot {
    const snapshot = this.get(name);
    if (snapshot.kind !== 'committed') {
      this.#records.fail('ERR_STORE_IN_USE', name, `is ${snapshot.kind} and not committed`);
    }
    const record: Snapshot = {
      ...snapshot,
      id: this.#nextID(),
      labels: mergeLabels(snapshot.labels, files.labels),
      ...committedFields(files),
    };
    this.#insert(record, files.lease);
    return record;
  }

  /** Merges labels, notes the usage. @throws UnpackError `ERR_STORE_NOT_FOUND` */
  update(key: string, changes: { labels?: LabelChanges; usage?: Usage }): Snapshot {
    const snapshot = this.get(key);
    const updated = {
      ...snapshot,
      labels: mergeLabels(snapshot.labels, changes.labels),
      usage: changes.usage ?? snapshot.usage,
      updatedAt: Date.now(),
    };
    this.#records.put(key, updated);
    return updated;
  }

  /**
   * Notes that all of a committed snapshot is on the disk. Does nothing where there is no snapshot of that key and
   * id any more.
   */
  markDurable(key: string, id: number): void {
    const snapshot = this.find(key);
    if (snapshot?.id === id && snapshot.durability !== 'durable') {
      this.#records.put(key, { ...snapshot, durability: 'durable', bootID: undefined });
    }
  }

  /** @throws UnpackError `ERR_STORE_NOT_FOUND`, `ERR_STORE_IN_USE` for one with children */
  remove(key: string): Snapshot {
    const snapshot = this.get(key);
    for (const child of this.#tree.keys(this.#childrenOf(key), 1)) {
      this.#records.fail('ERR_STORE_IN_USE', key, `has children (${child}) and cannot be removed`);
    }
    this.#remove(snapshot);
    return snapshot;
  }

  #nextID(): number {
    const key = `${buckets.sequences}\t${this.#snapshotter}`;
    const id = ((this.#tree.get(key) as number | undefined) ?? 0) + 1;
    this.#tree.put(key, id);
    return id;
  }

  #insert(snapshot: Snapshot, lease: string | undefined): void {
    this.#records.put(snapshot.key, snapshot);
    if (lease !== undefined) {
      const type = `snapshots/${this.#snapshotter}`;
      this.#leases.addResource(lease, { type, id: snapshot.key });
    }
    if (snapshot.parent !== undefined) {
      this.#tree.put(this.#childrenOf(snapshot.parent) + snapshot.key, true);
    }
  }

  #remove(snapshot: Snapshot): void {
    this.#records.remove(snapshot.key);
    if (snapshot.parent !== undefined) {
      this.#tree.remove(this.#childrenOf(snapshot.parent) + snapshot.key);
    }
  }

  #childrenOf(key: string): string {
    return `${buckets.children}\t${this.#snapshotter}\t${checkName('snapshot key', key)}\t`;
  }
}

function committedFields({ usage, durability, bootID }: Committed) {
  checkNumber('usage.size', usage.size);
  checkNumber('usage.inodes', usage.inodes);
  const now = Date.now();
  return {
    usage: { size: usage.size, inodes: usage.inodes },
    durability,
    bootID: durability === 'unsynced' ? bootID : undefined,
    // As in containerd: a commit is the creation of a committed snapshot.
    createdAt: now,
    updatedAt: now,
  };
}
