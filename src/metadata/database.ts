// The metadata of a store: opened, migrated, and read and changed in transactions.

import path from 'node:path';
import { UnpackError } from '../errors.js';
import { ContainerStore } from './containers.js';
import { ContentInfoStore } from './contents.js';
import { dataForm } from './environment-files.js';
import { ImageStore } from './images.js';
import { LeaseStore } from './leases.js';
import { checkIdentifier } from './names.js';
import { NamespaceStore } from './namespaces.js';
import { buckets, type Migration, migrations, schemaVersion, type Time } from './schema.js';
import { SnapshotStore } from './snapshots.js';
import { Tree } from './tree.js';

export interface DatabaseOptions {
  /** Where images, containers and leases are looked for. `default` where it is not given. */
  namespace?: string | undefined;
  /** Nothing is written, and a store that is not there is `ERR_NOT_FOUND`. */
  readOnly?: boolean | undefined;
  /** `none`: commits do not wait for the disk; a power loss can destroy the store. For roots that are thrown away. */
  durability?: 'commit' | 'none' | undefined;
  /** For tests: another schema than this release's. */
  schema?: { version: number; migrations: readonly Migration[] } | undefined;
}

/** What a transaction can see and, in {@link Database.update}, change. Not to be used after it. */
export class Transaction {
  readonly #tree: Tree;
  readonly #writable: boolean;
  readonly #snapshots = new Map<string, SnapshotStore>();
  readonly namespaces: NamespaceStore;
  readonly images: ImageStore;
  readonly content: ContentInfoStore;
  readonly containers: ContainerStore;
  readonly leases: LeaseStore;
  readonly namespace: string;
  /** When it began: what leases expire by. */
  readonly now: Time;

  constructor(tree: Tree, namespace: string, now: Time, writable: boolean) {
    this.#tree = tree;
    this.#writable = writable;
    this.namespace = namespace;
    this.now = now;
    this.namespaces = new NamespaceStore(tree);
    this.images = new ImageStore(tree, namespace);
    this.leases = new LeaseStore(tree, namespace, now);
    this.content = new ContentInfoStore(tree, this.leases);
    this.containers = new ContainerStore(tree, namespace);
  }

  /** The same transaction in another namespace, which it makes where it can. */
  in(namespace: string): Transaction {
    checkIdentifier('namespace', namespace);
    if (this.#writable) {
      this.namespaces.ensure(namespace);
    }
    return new Transaction(this.#tree, namespace, this.now, this.#writable);
  }

  /** The snapshots of a snapshotter: `overlayfs`, `native`, `aufs`. */
  snapshots(snapshotter: string): SnapshotStore {
    let store = this.#snapshots.get(snapshotter);
    if (store === undefined) {
      const name = checkIdentifier('snapshotter', snapshotter);
      store = new SnapshotStore(this.#tree, name, this.leases);
      this.#snapshots.set(snapshotter, store);
    }
    return store;
  }

  /** All snapshotters that have had a snapshot. */
  snapshotters(): string[] {
    return Array.from(this.#tree.keys(`${buckets.sequences}\t`));
  }

  /** The refs of all ingests that a lease of any namespace holds. */
  leasedIngests(): Set<string> {
    const refs = new Set<string>();
    const names = this.namespaces.list().map(({ name }) => name);
    for (const name of new Set([...names, this.namespace])) {
      const { leases } = this.in(name);
      for (const { id } of leases.list()) {
        for (const resource of leases.resources(id)) {
          if (resource.type === 'ingests') {
            refs.add(resource.id);
          }
        }
      }
    }
    return refs;
  }

  /** The tree itself; for garbage collection, which reads all of it. */
  get tree(): Tree {
    return this.#tree;
  }
}

/** Whether there is metadata at `root` that {@link Database.open} would not begin anew. @throws as it does */
export function hasMetadata(root: string): boolean {
  return dataForm(directoryOf(root)) !== undefined;
}

function directoryOf(root: string): string {
  return path.resolve(root, 'metadata');
}

/** An open database. Several processes, and several of these in one process, may have the same one open. */
export class Database {
  readonly root: string;
  readonly namespace: string;
  readonly readOnly: boolean;
  readonly #tree: Tree;

  private constructor(root: string, namespace: string, tree: Tree) {
    this.root = root;
    this.namespace = namespace;
    this.readOnly = tree.readOnly;
    this.#tree = tree;
  }

  /**
   * Opens the metadata of the store at `root`, in `<root>/metadata/`, making it where it is missing.
   *
   * @throws UnpackError `ERR_NOT_FOUND` for none when read-only, `ERR_STORE_VERSION`, `ERR_STORE_CORRUPT`,
   * `ERR_PERMISSION`, `ERR_NO_SPACE`, `ERR_IO`
   */
  static open(root: string, options: DatabaseOptions = {}): Database {
    const namespace = checkIdentifier('namespace', options.namespace ?? 'default');
    const directory = directoryOf(root);
    const readOnly = options.readOnly ?? false;
    const tree = new Tree(directory, { readOnly, sync: options.durability !== 'none' });
    try {
      prepare(tree, directory, options.schema ?? { version: schemaVersion, migrations });
    } catch (error) {
      tree.close().catch(() => {});
      throw error;
    }
    return new Database(path.resolve(root), namespace, tree);
  }

  /**
   * Runs `work`, which must not be asynchronous, on one state of the metadata. Inside {@link Database.update} it sees
   * what that has changed.
   */
  view<T>(work: (transaction: Transaction) => T): T {
    return this.#tree.view(() =>
      work(new Transaction(this.#tree, this.namespace, Date.now(), false)),
    );
  }

  /**
   * Runs `work`, which must not be asynchronous, in a write transaction. When it returns, all is committed and on the
   * disk; when it throws, nothing has changed. Writers of other processes are waited for: keep it short, and
   * do no other work in it.
   *
   * @throws UnpackError `ERR_STORE_READ_ONLY`, `ERR_NO_SPACE`, `ERR_IO`, and what `work` throws
   */
  update<T>(work: (transaction: Transaction) => T): T {
    return this.#tree.update(() => {
      const transaction = new Transaction(this.#tree, this.namespace, Date.now(), true);
      const result = work(transaction);
      transaction.namespaces.ensure(this.namespace);
      return result;
    });
  }

  /** May be called twice. */
  close(): Promise<void> {
    return this.#tree.close();
  }
}

const versionKey = `${buckets.meta}\tversion`;

function prepare(
  tree: Tree,
  directory: string,
  schema: { version: number; migrations: readonly Migration[] },
): void {
  const version = tree.view(() => tree.get(versionKey));
  if (version === schema.version) {
    return;
  }
  if (tree.readOnly) {
    if (version === undefined) {
      return; // who makes it is still at it, or was killed: the version is the first that is committed, so it is empty
    }
    checkVersion(version, schema.version, directory);
    throw new UnpackError(
      'ERR_STORE_VERSION',
      `${directory}: version ${version}; it must be opened for writing once`,
      { path: directory },
    );
  }
  tree.update(() => {
    // Again: another process may have been quicker.
    const current = checkVersion(tree.get(versionKey) ?? schema.version, schema.version, directory);
    for (let from = current; from < schema.version; from++) {
      const migration = schema.migrations.find((step) => step.from === from);
      if (migration === undefined) {
        throw new UnpackError(
          'ERR_STORE_VERSION',
          `${directory}: there is no migration from version ${from}`,
          { path: directory },
        );
      }
      migration.run(tree);
    }
    tree.put(versionKey, schema.version);
  });
}

function checkVersion(version: unknown, known: number, directory: string): number {
  if (!Number.isSafeInteger(version) || (version as number) < 0) {
    throw new UnpackError('ERR_STORE_CORRUPT', `${directory}: the version is not a number`, {
      path: directory,
    });
  }
  if ((version as number) > known) {
    throw new UnpackError(
      'ERR_STORE_VERSION',
      `${directory}: has version ${version}; this release knows versions up to ${known}`,
      { path: directory },
    );
  }
  return version as number;
}
