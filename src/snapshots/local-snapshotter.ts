// The snapshotter of every kind: records in the metadata, directories at `<root>/snapshots/<id>`. A directory is made in
// a staging area and renamed inside the write transaction that makes its record, and taken away after the one that
// removes it: whoever dies when, a record has its directory, and a directory without a record is swept. An id is never
// given twice, except where its transaction was not committed. Longer than other files: what keeps records and directories
// in step is to be read in one place.

import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { cleanUp, rollBack } from '../clean-up.js';
import { UnpackError } from '../errors.js';
import type { Database, Snapshot, SnapshotStore, Transaction } from '../metadata/index.js';
import {
  type LayerOptions,
  loadBinding,
  makeDirectory,
  removeTree,
  syncFileSystemOf,
} from '../native/index.js';
import { bootID } from './boot.js';
import type { Driver } from './driver.js';
import { labelChanges } from './label-changes.js';
import { liveMounts, mountedError } from './live-mounts.js';
import { SnapshotDirectories } from './snapshot-directories.js';
import type {
  AdoptOptions,
  CleanupReport,
  Labels,
  LayerSnapshotter,
  Mount,
  SnapshotIdentity,
  SnapshotInfo,
  SnapshotOptions,
  SnapshotterKind,
  Staging,
  Usage,
} from './snapshotter.js';
import { StagedDirectory, StagingArea, treeIndexName } from './staging-area.js';
import { Syncer } from './syncer.js';

/** Threads that look at one tree, to tell what it takes: more win little more. */
const mostWalkers = 8;

/** Of the snapshots that are known to be usable; then they are looked at again. */
const mostUsableIDs = 10_000;

export interface LocalSnapshotterOptions {
  /** Holds `snapshots` and `staging`; made where missing. Of one snapshotter alone. */
  root: string;
  database: Database;
  driver: Driver;
  /** Threads that copy (kinds that are flat) or measure a tree. Default: the processors that this process may use. */
  threads?: number | undefined;
  /** What unsynced snapshots are trusted in: the running boot by default; a store has a narrower identity. */
  bootID?: (() => string) | undefined;
}

export class LocalSnapshotter implements LayerSnapshotter {
  readonly kind: SnapshotterKind;
  readonly format: LayerOptions['format'];
  readonly flat: boolean;
  readonly #root: string;
  readonly #database: Database;
  readonly #driver: Driver;
  readonly #threads: number | undefined;
  readonly #bootID: () => string;
  readonly #directories: SnapshotDirectories;
  readonly #syncer: Syncer;
  /**
   * Ids of committed snapshots that were found usable, with those below them. They stay so while they have their records:
   * what has children is not removed. (Who sees this store by another mount may make one below anew; whoever mounts
   * looks at the whole chain.)
   */
  readonly #usableIDs = new Set<number>();
  #opening: Promise<StagingArea> | undefined;
  #closed = false;

  constructor(options: LocalSnapshotterOptions) {
    this.#root = path.resolve(options.root);
    this.#database = options.database;
    this.#driver = options.driver;
    this.#threads = options.threads;
    this.#bootID = options.bootID ?? bootID;
    this.kind = options.driver.kind;
    this.format = options.driver.format;
    this.flat = options.driver.flat;
    this.#directories = new SnapshotDirectories(this.#root, this.#database, this.kind);
    this.#syncer = new Syncer(this.#root, this);
  }

  async stat(key: string): Promise<SnapshotInfo> {
    return this.#info(this.#view((store) => store.get(key)));
  }

  async update(
    info: { name: string; labels: Labels },
    ...fieldPaths: string[]
  ): Promise<SnapshotInfo> {
    const updated = this.#update((store) => {
      const { labels } = store.get(info.name);
      return store.update(info.name, { labels: labelChanges(labels, info.labels, fieldPaths) });
    });
    return this.#info(updated);
  }

  async usage(key: string): Promise<Usage> {
    const snapshot = this.#view((store) => store.get(key));
    return snapshot.kind === 'active'
      ? this.#measure(this.#directories.fs(snapshot.id))
      : (snapshot.usage ?? { size: 0, inodes: 0 });
  }

  async mounts(key: string): Promise<Mount[]> {
    const [snapshot, parents] = this.#view((store) => {
      const found = store.get(key);
      if (found.kind === 'committed') {
        throw new UnpackError(
          'ERR_STORE_IN_USE',
          `snapshot ${key}: is committed and cannot be mounted: make a view of it`,
        );
      }
      return [found, this.#usableChain(store, found.parent)] as const;
    });
    await this.#checkDirectory(snapshot, parents);
    return this.#mounts(snapshot, parents);
  }

  prepare(key: string, parent: string | undefined, options?: SnapshotOptions): Promise<Mount[]> {
    return typed(this.#create('active', key, parent, options));
  }

  view(key: string, parent: string | undefined, options?: SnapshotOptions): Promise<Mount[]> {
    return typed(this.#create('view', key, parent, options));
  }

  async commit(name: string, key: string, options: SnapshotOptions = {}): Promise<void> {
    for (;;) {
      const active = this.#view((store) => store.checkCommittable(key, name));
      const usage = await this.#measure(this.#directories.fs(active.id));
      const committed = this.#update((store) => {
        const now = store.get(key);
        return now.id === active.id
          ? store.commit(key, name, {
              usage,
              labels: labelChanges(now.labels, options.labels ?? {}),
              durability: 'unsynced',
              bootID: this.#bootID(),
              lease: options.lease,
            })
          : undefined;
      });
      if (committed !== undefined) {
        this.#syncer.add({ name, id: committed.id });
        return;
      }
      // Another one of that key meanwhile: measure that.
    }
  }

  remove(key: string): Promise<void> {
    return this.removeWith(key, () => {});
  }

  async removeWith(key: string, also: (transaction: Transaction) => void): Promise<void> {
    const area = await this.#areaIfRoom();
    const removed = this.#database.update((transaction) => {
      also(transaction);
      return transaction.snapshots(this.kind).remove(key);
    });
    // It is removed: a directory that cannot be taken away now is swept as any without a record.
    const directory = this.#directories.of(removed.id);
    await rollBack(() => (area === undefined ? removeTree(directory) : area.discard(directory)));
  }

  async walk(
    visit: (info: SnapshotInfo) => void | Promise<void>,
    ...filters: string[]
  ): Promise<void> {
    for (const snapshot of this.#view((store) => store.list(filters))) {
      await visit(this.#info(snapshot));
    }
  }

  async cleanup(): Promise<CleanupReport> {
    const failures: UnpackError[] = [];
    // On a disk without inodes what has no record goes first, which makes room for the area.
    const orphans = (await this.#areaIfRoom()) ? 0 : await this.#removeOrphans(undefined, failures);
    const area = await this.#areaIfRoom();
    if (area === undefined) {
      return { orphans, sessions: 0, failures };
    }
    const { swept, failures: unswept } = await typed(area.sweep());
    failures.push(...unswept);
    const others = await this.#removeOrphans(area, failures);
    return { orphans: orphans + others, sessions: swept, failures };
  }

  async #removeOrphans(area: StagingArea | undefined, failures: UnpackError[]): Promise<number> {
    const moved = await typed(this.#directories.moveOrphans(area));
    for (const directory of moved) {
      try {
        await removeTree(directory);
      } catch (error) {
        failures.push(UnpackError.from(error));
      }
    }
    return moved.length;
  }

  async close(): Promise<void> {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    const area = await this.#opening?.catch(() => undefined);
    await typed(
      cleanUp(
        () => this.#syncer.close(),
        () => area?.close(),
      ),
    );
  }

  async stage(): Promise<Staging> {
    const area = await this.#area();
    return typed(area.make());
  }

  async seed(staging: Staging, parent: string): Promise<void> {
    if (!this.flat) {
      throw new UnpackError('ERR_INVALID_ARGUMENT', `kind ${this.kind} does not copy parents`);
    }
    const below = this.#view((store) => this.#usable(store, parent));
    await typed(this.#copy(below, staging.fs));
  }

  async adopt(
    name: string,
    parent: string | undefined,
    staging: Staging,
    options: AdoptOptions = {},
  ): Promise<SnapshotInfo> {
    const area = await this.#area();
    const staged = this.#checkStaged(staging, area);
    const committed = {
      usage: options.usage ?? (await this.#measure(staged.fs)),
      durability: options.durability ?? 'unsynced',
      bootID: this.#bootID(),
      lease: options.lease,
    } as const;
    const below = parent === '' ? undefined : parent;
    await this.#checkReplaceable(name);
    const [snapshot, replaced] = await this.#directories.place(area, staged, (store) => {
      if (below !== undefined) {
        this.#usable(store, below);
      }
      const existing = store.find(name);
      if (existing !== undefined && this.#isLost(existing) && existing.parent === below) {
        const labels = labelChanges(existing.labels, options.labels ?? {});
        return [store.replace(name, { ...committed, labels }), existing] as const;
      }
      return [store.adopt(name, { ...committed, parent: below, labels: options.labels })] as const;
    });
    if (replaced !== undefined) {
      await area.discard(this.#directories.of(replaced.id));
    }
    if (snapshot.durability === 'unsynced') {
      this.#syncer.add({ name, id: snapshot.id });
    }
    return this.#info(snapshot);
  }

  async refresh(name: string, staging: Staging): Promise<SnapshotInfo> {
    const area = await this.#area();
    const staged = this.#checkStaged(staging, area);
    const before = this.#view((store) => store.get(name));
    const usage = await this.#measure(staged.fs);
    if (before.durability === 'durable') {
      // The record says so of what is to be found there from now on.
      await typed(syncFileSystemOf(staged.directory));
    }
    const snapshot = this.#update((store) => {
      const now = store.get(name);
      if (now.kind !== 'committed' || now.id !== before.id) {
        throw new UnpackError('ERR_STORE_IN_USE', `snapshot ${name}: is another one meanwhile`);
      }
      this.#directories.exchange(now.id, staged);
      return store.update(name, { usage });
    });
    // What was there before lies in the staging area now.
    await rollBack(() => area.discard(staged.directory));
    return this.#info(snapshot);
  }

  async layer(name: string): Promise<{ directory: string; fs: string; treeIndex: string }> {
    const snapshot = this.#view((store) => this.#usable(store, name));
    const directory = this.#directories.of(snapshot.id);
    return {
      directory,
      fs: this.#directories.fs(snapshot.id),
      treeIndex: path.join(directory, treeIndexName),
    };
  }

  async unsynced(): Promise<SnapshotIdentity[]> {
    return this.#view((store) => store.list(['durability==unsynced']))
      .filter((snapshot) => this.#mustSync(snapshot) && !this.#isLost(snapshot))
      .map(({ name, id }) => ({ name, id }));
  }

  async markDurable(snapshots: readonly SnapshotIdentity[]): Promise<void> {
    if (snapshots.length > 0) {
      this.#update((store) => {
        for (const { name, id } of snapshots) {
          store.markDurable(name, id);
        }
      });
    }
  }

  sync(): Promise<void> {
    return this.#syncer.sync();
  }

  #checkStaged(staging: Staging, area: StagingArea): StagedDirectory {
    if (!(staging instanceof StagedDirectory) || !staging.isOf(area) || staging.moved) {
      throw new UnpackError('ERR_INVALID_ARGUMENT', `${staging.directory}: is not staged here`);
    }
    return staging;
  }

  async #create(
    kind: 'active' | 'view',
    key: string,
    parent: string | undefined,
    options: SnapshotOptions = {},
  ): Promise<Mount[]> {
    const area = await this.#area();
    const below = parent === '' ? undefined : parent;
    // Before the work of a copy; again in the transaction.
    const [nearest] = this.#view((store) => {
      store.checkCreatable(key, below);
      return this.#usableChain(store, below);
    });
    const staged = await area.make();
    try {
      if (kind === 'active' && this.#driver.hasWork) {
        const work = path.join(staged.directory, 'work');
        await mkdir(work);
        await chmod(work, 0o711);
      }
      if (kind === 'active' && nearest !== undefined) {
        await this.#beginAs(nearest, staged.fs);
      }
      const [snapshot, parents] = await this.#directories.place(area, staged, (store) => {
        const chain = this.#usableChain(store, below);
        if (chain[0]?.id !== nearest?.id) {
          throw new UnpackError('ERR_STORE_BUSY', `snapshot ${below}: was made anew meanwhile`);
        }
        const { labels, lease } = options;
        const created = { key, kind, parent: below, labels, lease, bootID: this.#bootID() };
        return [store.create(created), chain] as const;
      });
      if (this.#mustSync(snapshot)) {
        this.#syncer.add({ name: key, id: snapshot.id });
      }
      return this.#mounts(snapshot, parents);
    } catch (error) {
      await rollBack(() => staged.discard());
      if (UnpackError.from(error).code === 'ERR_NOT_FOUND') {
        this.#view((store) => store.checkCreatable(key, below)); // the parent may have been removed meanwhile
      }
      throw error;
    }
  }

  /** What the `fs` of a new snapshot on top of `parent` begins with. */
  async #beginAs(parent: Snapshot, fs: string): Promise<void> {
    if (this.flat) {
      await this.#copy(parent, fs);
    } else {
      // The root of the union is that of the top layer; it shall look like the one that it covers.
      await loadBinding().copyDirectoryMetadata({ from: this.#directories.fs(parent.id), to: fs });
    }
  }

  async #copy(parent: Snapshot, to: string): Promise<void> {
    const threads = this.#threadCount();
    await loadBinding().copyTree({ from: this.#directories.fs(parent.id), to, threads });
  }

  #threadCount(): number {
    return Math.max(1, Math.min(64, this.#threads ?? loadBinding().workers()));
  }

  /** The snapshot `key` and those below it, itself first; none for undefined. */
  #usableChain(store: SnapshotStore, key: string | undefined): Snapshot[] {
    if (key === undefined) {
      return [];
    }
    const chain = store.chain(key);
    for (const snapshot of chain) {
      this.#checkUsable(snapshot);
    }
    return chain;
  }

  /**
   * The snapshot `key`, after the same checks, without a walk down a chain that was found usable before: else an image of
   * many layers takes the square of them.
   */
  #usable(store: SnapshotStore, key: string): Snapshot {
    const top = store.get(key);
    for (let next = top; !this.#usableIDs.has(next.id); next = store.get(next.parent)) {
      this.#checkUsable(next);
      if (next.parent === undefined) {
        break;
      }
    }
    if (this.#usableIDs.size >= mostUsableIDs) {
      this.#usableIDs.clear();
    }
    this.#usableIDs.add(top.id);
    return top;
  }

  #checkUsable(snapshot: Snapshot): void {
    if (snapshot.kind !== 'committed') {
      throw new UnpackError('ERR_STORE_IN_USE', `snapshot ${snapshot.name}: is not committed`);
    }
    if (this.#isLost(snapshot)) {
      throw new UnpackError(
        'ERR_SNAPSHOT_LOST',
        `snapshot ${snapshot.name}: was not on the disk yet when an earlier boot ended`,
      );
    }
  }

  /** Whether it holds what was written by us and must not be lost unnoticed. */
  #mustSync({ kind }: Snapshot): boolean {
    return kind === 'committed' || (kind === 'active' && this.flat);
  }

  #isLost(snapshot: Snapshot): boolean {
    const { durability, bootID } = snapshot;
    return this.#mustSync(snapshot) && durability === 'unsynced' && bootID !== this.#bootID();
  }

  /**
   * What is lost as this process sees it need not be so for another, that has the store by another mount: what it has
   * mounted is not replaced.
   */
  async #checkReplaceable(name: string): Promise<void> {
    const existing = this.#view((store) => store.find(name));
    if (existing !== undefined && this.#isLost(existing)) {
      const directory = this.#directories.of(existing.id);
      for (const uses of (await liveMounts([directory])).values()) {
        throw mountedError(name, uses);
      }
    }
  }

  /** A power loss can have taken what was made just before it. */
  async #checkDirectory(snapshot: Snapshot, parents: readonly Snapshot[]): Promise<void> {
    const mounted = snapshot.kind === 'active' || parents.length === 0;
    const found = !mounted || (await this.#directories.hasFiles(snapshot.id));
    if (!found || this.#isLost(snapshot)) {
      throw new UnpackError(
        'ERR_SNAPSHOT_LOST',
        `snapshot ${snapshot.name}: was not on the disk yet when an earlier boot ended; remove it and make it again`,
        { path: this.#directories.of(snapshot.id) },
      );
    }
  }

  #info(snapshot: Snapshot): SnapshotInfo {
    const { id, name, kind, parent, labels, createdAt, updatedAt, usage } = snapshot;
    const durability = this.#isLost(snapshot) ? 'lost' : snapshot.durability;
    const directory = this.#directories.of(id);
    return { name, kind, parent, labels, createdAt, updatedAt, usage, durability, directory };
  }

  #mounts(snapshot: Snapshot, parents: readonly Snapshot[]): Mount[] {
    return this.#driver.mounts({
      kind: snapshot.kind,
      directory: this.#directories.of(snapshot.id),
      parents: parents.map((parent) => this.#directories.fs(parent.id)),
    });
  }

  async #measure(directory: string): Promise<Usage> {
    try {
      const threads = Math.min(mostWalkers, this.#threadCount());
      const { bytes, inodes } = await loadBinding().diskUsage({ directory, threads });
      return { size: bytes, inodes };
    } catch (error) {
      throw UnpackError.from(error);
    }
  }

  #view<T>(work: (store: SnapshotStore) => T): T {
    return this.#database.view((transaction) => work(transaction.snapshots(this.kind)));
  }

  #update<T>(work: (store: SnapshotStore) => T): T {
    return this.#database.update((transaction) => work(transaction.snapshots(this.kind)));
  }

  /** The staging area of this object, made when it is first needed: who only reads leaves no trace. */
  #area(): Promise<StagingArea> {
    if (this.#closed) {
      return Promise.reject(new UnpackError('ERR_INVALID_ARGUMENT', 'the snapshotter is closed'));
    }
    if (this.#database.readOnly) {
      const message = `${this.#root}: is open for reading only`;
      return Promise.reject(new UnpackError('ERR_STORE_READ_ONLY', message));
    }
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = undefined;
      throw UnpackError.fromSystem(error, this.#root);
    });
    return this.#opening;
  }

  /** The staging area; undefined where no inode is left for it. What only removes can do without. */
  async #areaIfRoom(): Promise<StagingArea | undefined> {
    try {
      return await this.#area();
    } catch (error) {
      if ((error as UnpackError).code === 'ERR_NO_SPACE') {
        return undefined;
      }
      throw error;
    }
  }

  async #open(): Promise<StagingArea> {
    await makeDirectory(this.#directories.path, 0o700);
    await this.#syncer.open();
    return StagingArea.open(path.join(this.#root, 'staging'));
  }
}

/** The promise, with whatever it rejects with as an UnpackError. */
async function typed<T>(promise: Promise<T> | undefined): Promise<T> {
  try {
    return (await promise) as T;
  } catch (error) {
    throw UnpackError.from(error);
  }
}
