// Store: content, metadata, snapshots, leases and containers of one directory, opened as one. What unpacks, imports and
// pulls is loaded when it is first used: most commands only read, and are to start at once.

import { accessSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { cleanUp, rollBack } from '../clean-up.js';
import { Containers } from '../containers/index.js';
import { ContentStore } from '../content/index.js';
import { UnpackError } from '../errors.js';
import { givenPath } from '../given-path.js';
import {
  Database,
  type Garbage,
  gc,
  type Reference,
  type Resource,
  why,
} from '../metadata/index.js';
import { makeDirectory } from '../native/index.js';
import {
  inUserNamespace,
  type LayerSnapshotter,
  openSnapshotter,
  type Snapshotter,
  type SnapshotterKind,
  snapshotterKinds,
} from '../snapshots/index.js';
import { lazyInstance } from '../snapshots/instance.js';
import { LayerLocks } from '../unpack/layer-locks.js';
import { watched } from '../unpack/watched.js';
import type { VerifyReport } from '../verify/index.js';
import type { StoreUnpackOptions } from './context.js';
import { type StoreContext, type StoreDurability, storeDurabilities } from './context.js';
import type { SnapshotChange } from './diff.js';
import { refuseForeignRoot } from './foreign-root.js';
import { Images } from './images.js';
import type { ImportOptions } from './import-image.js';
import { Leases } from './leases.js';
import type { PullOptions, PullReport } from './pull-image.js';
import type { StoreReport } from './report.js';
import { Session } from './session.js';
import type { VerifyOptions } from './verify.js';

/** Options of {@link Store.open}. */
export interface StoreOptions {
  /** Where images, containers and leases are looked for; content and snapshots are shared by all. Default `default`. */
  namespace?: string | undefined;
  /** Kind of snapshotter. Default `overlayfs`; `native` for a user other than root, who cannot mount overlayfs. */
  kind?: SnapshotterKind | undefined;
  /** Default `background`. */
  durability?: StoreDurability | undefined;
  /** Nothing is written, and a store that is not there is `ERR_NOT_FOUND`. */
  readOnly?: boolean | undefined;
  /** Directories of other stores, or OCI layouts, whose blobs are read and not copied. */
  sources?: readonly string[] | undefined;
}

/** What {@link Store.gc} removed, or would remove. */
export interface GcReport extends Garbage {
  dryRun: boolean;
  /** Bytes of blobs, and of snapshots as far as their usage is known. */
  bytes: number;
  /** Files and directories that no record named; of a dry run none is looked for. */
  orphans: { blobs: number; snapshots: number; ingests: number };
}

/** The default directory: `/var/lib/oci-unpack` as root, else `$XDG_DATA_HOME/oci-unpack`. */
export function defaultStoreRoot(): string {
  if (process.geteuid?.() === 0 && !inUserNamespace()) {
    return '/var/lib/oci-unpack';
  }
  const data = process.env.XDG_DATA_HOME;
  return path.join(
    data !== undefined && path.isAbsolute(data) ? data : path.join(homedir(), '.local', 'share'),
    'oci-unpack',
  );
}

/**
 * An open store. Any number of processes may have the same one open, and of these objects in one process. Close it:
 * what is still to be written to the disk is waited for then.
 */
export class Store {
  /** Absolute. */
  readonly root: string;
  readonly namespace: string;
  readonly kind: SnapshotterKind;
  readonly readOnly: boolean;
  readonly content: ContentStore;
  readonly snapshots: Snapshotter;
  readonly images: Images;
  readonly containers: Containers;
  readonly leases: Leases;
  readonly #context: StoreContext;
  readonly #snapshotter: LayerSnapshotter;
  readonly #database: Database;
  readonly #session: Session | undefined;
  #syncing: Promise<void> | undefined;
  #syncError: UnpackError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    root: string,
    database: Database,
    content: ContentStore,
    snapshotter: LayerSnapshotter,
    session: Session | undefined,
    durability: StoreDurability,
  ) {
    this.root = root;
    this.namespace = database.namespace;
    this.readOnly = database.readOnly;
    this.kind = snapshotter.kind;
    this.content = content;
    this.snapshots = snapshotter;
    this.#snapshotter = snapshotter;
    this.#database = database;
    this.#session = session;
    this.#context = {
      root,
      database,
      content,
      snapshotter,
      locks: new LayerLocks(path.join(root, 'locks')),
      durability,
      rootless: isRootless(),
      session: () => {
        if (session === undefined) {
          throw new UnpackError('ERR_STORE_READ_ONLY', `${root}: is open for reading only`);
        }
        return session;
      },
      sync: () => this.#sync(),
    };
    this.images = new Images(this.#context);
    this.leases = new Leases(this.#context);
    this.containers = new Containers({
      root,
      database,
      snapshotter,
      rootless: this.#context.rootless,
      unpack: async (name, options) => {
        const { unpackStoredImage } = await import('./repair.js');
        return unpackStoredImage(this.#context, name, options);
      },
      ensure: async (key) => {
        const { ensureChain } = await import('./repair.js');
        return ensureChain(this.#context, key);
      },
      collect: async (id) => {
        const { collectSnapshot } = await import('./unpack-image.js');
        return collectSnapshot(this.#context, id);
      },
      withLease: (work) => this.#context.session().withLease(database, [], work),
      lock: (name) => this.#context.locks.tryLock('container', name),
    });
  }

  /**
   * Opens the store at `root`, making it where it is missing, and removes what processes that were killed have left
   * half done.
   *
   * @param root default {@link defaultStoreRoot}
   * @throws UnpackError `ERR_NOT_FOUND` for none when read-only, `ERR_STORE_VERSION`, `ERR_STORE_CORRUPT`,
   * `ERR_PERMISSION`, `ERR_NO_SPACE`, `ERR_INVALID_ARGUMENT`, `ERR_IO`
   */
  static async open(root: string = defaultStoreRoot(), options: StoreOptions = {}): Promise<Store> {
    const directory = givenPath('root', root);
    const { namespace, readOnly = false, durability = 'background', sources } = options;
    const kind = options.kind ?? (process.geteuid?.() === 0 ? 'overlayfs' : 'native');
    checkChoice('kind', kind, snapshotterKinds);
    checkChoice('durability', durability, storeDurabilities);
    if (readOnly) {
      try {
        accessSync(directory); // what is asynchronous takes longer to load than a list to read
      } catch (error) {
        throw UnpackError.fromSystem(error, directory);
      }
    } else {
      await makeDirectory(directory, 0o700).catch((error: unknown) => {
        throw UnpackError.fromSystem(error, directory);
      });
      await refuseForeignRoot(directory);
    }
    const database = Database.open(directory, {
      namespace,
      readOnly,
      durability: durability === 'none' ? 'none' : 'commit',
    });
    let snapshotter: LayerSnapshotter | undefined;
    let session: Session | undefined;
    try {
      const content = new ContentStore({ root: directory, database, sources });
      const instance = lazyInstance(directory);
      snapshotter = openSnapshotter({ root: directory, database, kind, bootID: instance });
      session = readOnly ? undefined : await Session.open(directory);
      const store = new Store(directory, database, content, snapshotter, session, durability);
      await store.#sweepOnce(instance);
      return store;
    } catch (error) {
      await rollBack(
        () => snapshotter?.close(),
        () => session?.close(),
        () => database.close(),
      );
      throw UnpackError.from(error);
    }
  }

  /**
   * Imports an image and, unless told otherwise, unpacks it: its blobs are copied into the store, each layer becomes a
   * committed snapshot named by its chainID, and the image gets a name. What is there already is not made again; two
   * calls or processes that need the same layer share its unpack.
   *
   * When it fails, whole layers stay for the next try; when `signal` fires, nothing of the call stays.
   *
   * @param reference `oci:PATH[:TAG]`, `oci-archive:PATH[:TAG]`, `docker-archive:PATH[:NAME]` or `containerd:NAME`
   * @throws UnpackError
   */
  async import(reference: string, options: ImportOptions = {}): Promise<StoreReport> {
    try {
      const { importImage } = await import('./import-image.js');
      return await watched(options, (given) => importImage(this.#context, reference, given));
    } catch (error) {
      throw UnpackError.from(error);
    }
  }

  /**
   * Pulls an image from a registry and, unless told otherwise, unpacks it while it downloads. What is there already is
   * neither downloaded nor unpacked; calls and processes that need the same blob share its download. A layer becomes
   * a snapshot only when its blob's digest and its diffID are right.
   *
   * When it fails or `signal` fires, whole layers and what has been downloaded of the others stay for the next
   * try, in this process or another; never a half snapshot.
   *
   * @param reference `[HOST/]NAME[:TAG][@DIGEST]`, as Docker writes it
   * @throws UnpackError
   */
  async pull(reference: string, options: PullOptions = {}): Promise<PullReport> {
    try {
      const { pullImage } = await import('./pull-image.js');
      return await watched(options, (given) => pullImage(this.#context, reference, given));
    } catch (error) {
      throw UnpackError.from(error);
    }
  }

  /**
   * Unpacks an image of the store.
   *
   * @param name as for {@link Images.get}
   * @throws UnpackError
   */
  async unpack(
    name: string,
    options: StoreUnpackOptions & { platform?: string | undefined } = {},
  ): Promise<StoreReport> {
    try {
      const started = performance.now();
      const { unpackReport, unpackStoredImage } = await import('./repair.js');
      const unpacked = await watched(options, (given) =>
        unpackStoredImage(this.#context, name, given),
      );
      return unpackReport(this.#context, unpacked, performance.now() - started);
    } catch (error) {
      throw UnpackError.from(error);
    }
  }

  /**
   * Removes what no image, container, lease or label `containerd.io/gc.root` needs: blobs, snapshots of every kind, and
   * expired leases; and ingests that nobody writes now and no lease holds. With `dryRun` it only says what that would be.
   *
   * @throws UnpackError
   */
  async gc(options: { dryRun?: boolean | undefined } = {}): Promise<GcReport> {
    const dryRun = options.dryRun ?? false;
    if (!dryRun) {
      await this.#context.session().sweep(this.#database);
    }
    const garbage = gc(this.#database, { dryRun });
    const none = { blobs: 0, snapshots: 0, ingests: 0 };
    const orphans = dryRun ? none : await this.#cleanup(garbage, 0);
    const bytes =
      garbage.content.reduce((sum, { size }) => sum + size, 0) +
      garbage.snapshots.reduce((sum, { size }) => sum + size, 0);
    return { dryRun, ...garbage, bytes, orphans };
  }

  /**
   * What keeps a snapshot or a blob: for each image, container, lease or label that does, the shortest way from it to the
   * resource, its last step. Empty for garbage.
   *
   * @param id a key of a snapshot of this store's kind, or a digest of a blob
   * @throws UnpackError `ERR_STORE_NOT_FOUND`
   */
  why(id: string): Reference[][] {
    const resource = this.#resource(id);
    if (resource === undefined) {
      throw new UnpackError(
        'ERR_STORE_NOT_FOUND',
        `${JSON.stringify(id)}: is neither a snapshot of kind ${this.kind} nor a blob of the store`,
      );
    }
    return resource.flatMap((one) => why(this.#database, one));
  }

  /**
   * What a snapshot changes of its parent, sorted by path.
   *
   * @param key of a snapshot of any state
   * @throws UnpackError `ERR_STORE_NOT_FOUND`; `ERR_MOUNT` without the right to mount; `ERR_UNSUPPORTED` for kind aufs
   */
  async diff(key: string): Promise<SnapshotChange[]> {
    const { diffSnapshot } = await import('./diff.js');
    return diffSnapshot(this.#snapshotter, key);
  }

  /**
   * Compares committed snapshots with the layers that they came from, names what differs, and with `repair` makes it
   * right from the blobs: into a new directory, which then changes places with the damaged one. A repair needs a
   * store that may be written; all else reads only.
   *
   * @throws UnpackError `ERR_STORE_NOT_FOUND` for an image; `ERR_STORE_READ_ONLY`; `ERR_ABORTED`. What cannot be compared
   * is in `notes`, what cannot be repaired in `repairs`.
   */
  async verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    try {
      if (options.repair && !options.dryRun) {
        this.#context.session();
      }
      const { verifyStore } = await import('./verify.js');
      return await watched(options, (given) => verifyStore(this.#context, given));
    } catch (error) {
      throw UnpackError.from(error);
    }
  }

  /**
   * Waits until all that was committed up to now is on the disk.
   *
   * @throws UnpackError `ERR_IO`, `ERR_NO_SPACE`: some of it could not be written, and stays marked as unsynced
   */
  async sync(): Promise<void> {
    await this.#snapshotter.sync();
  }

  /** Why the last sync in the background has failed; the snapshots stay marked as unsynced. */
  get syncError(): UnpackError | undefined {
    return this.#syncError;
  }

  /** Waits for what is written to the disk in the background, and ends the use of this object. May be called twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await cleanUp(
      () => this.#syncing,
      () => this.#snapshotter.close(),
      () => this.#session?.close(),
      () => this.#database.close(),
    );
  }

  async #sync(): Promise<void> {
    switch (this.#context.durability) {
      case 'none':
        return;
      case 'wait':
        return this.#snapshotter.sync();
      default: {
        const before = this.#syncing ?? Promise.resolve();
        const own = this.#snapshotter.sync().catch((error: unknown) => {
          this.#syncError = UnpackError.from(error);
        });
        this.#syncing = before.then(() => own);
      }
    }
  }

  #resource(id: string): Resource[] | undefined {
    const type = `snapshots/${this.kind}`;
    const found = this.#database.view((tx) => [
      ...(isThere(() => tx.snapshots(this.kind).has(id)) ? [{ type, id }] : []),
      ...(isThere(() => tx.content.has(id)) ? [{ type: 'content', id }] : []),
    ]);
    return found.length > 0 ? found : undefined;
  }

  /** Removes the files of what was collected, and others without a record. */
  async #cleanup(garbage: Garbage, ingestAge?: number): Promise<GcReport['orphans']> {
    const kinds = this.#database.view((tx) => tx.snapshotters());
    let snapshots = 0;
    for (const kind of snapshotterKinds.filter((known) => kinds.includes(known))) {
      const { root } = this;
      const other =
        kind === this.kind
          ? this.#snapshotter
          : openSnapshotter({ root, database: this.#database, kind });
      try {
        snapshots += (await other.cleanup()).orphans;
      } finally {
        if (other !== this.#snapshotter) {
          await other.close();
        }
      }
    }
    await this.#context.locks.sweep();
    const { blobs, ingests } = await this.content.cleanup({ ingestAge });
    return {
      blobs: Math.max(0, blobs.length - garbage.content.length),
      snapshots: Math.max(0, snapshots - garbage.snapshots.length),
      ingests: ingests.length,
    };
  }

  /** Sweeps when a session has died, or the store was not opened in this boot yet: only then there can be something. */
  async #sweepOnce(instance: () => string): Promise<void> {
    if (this.#session === undefined) {
      return;
    }
    const file = path.join(this.root, 'swept');
    const swept = await readFile(file, 'utf8').catch(() => '');
    const died = await this.#session.sweep(this.#database);
    if (died > 0 || swept !== instance()) {
      await this.#cleanup({ content: [], snapshots: [], leases: [] });
      const temporary = `${file}.new`;
      try {
        await writeFile(temporary, instance());
        await rename(temporary, file);
      } catch {
        await rollBack(() => rm(temporary, { force: true }));
        // Then the next one sweeps again.
      }
    }
  }
}

function isThere(look: () => boolean): boolean {
  try {
    return look();
  } catch {
    return false; // what cannot be a key is none
  }
}

/** Whether the process lacks what root has: another user, or root of a user namespace with few ids. */
function isRootless(): boolean {
  return process.geteuid?.() !== 0 || inUserNamespace();
}

function checkChoice(what: string, value: string, choices: readonly string[]): void {
  if (!choices.includes(value)) {
    throw new UnpackError(
      'ERR_INVALID_ARGUMENT',
      `${what}: ${JSON.stringify(value)} is not one of ${choices.join(', ')}`,
    );
  }
}
