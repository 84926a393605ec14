// Containers: a writable snapshot on top of an image, and a record of it; mounted, bundled and run. What makes bundles
// and runs them is loaded when that is done.

import { randomBytes } from 'node:crypto';
import { mkdir, readdir, realpath, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { rollBack } from '../clean-up.js';
import { UnpackError } from '../errors.js';
import { givenPath } from '../given-path.js';
import type { Container, Database, Image, Labels } from '../metadata/index.js';
import { type FileLock, makeDirectory, removeTree } from '../native/index.js';
import {
  type LayerSnapshotter,
  liveMounts,
  type Mount,
  mountAll,
  unmountAll,
  unmountOwn,
} from '../snapshots/index.js';
import type { ResolvedImage } from '../source/index.js';
import type { RuntimeRun } from './runtime.js';
import type { ProcessOptions, RuntimeSpec } from './runtime-spec.js';

/** What containers need of their store. */
export interface ContainersContext {
  root: string;
  database: Database;
  snapshotter: LayerSnapshotter;
  rootless: boolean;
  /** The image `name`, its layers unpacked. */
  unpack(
    name: string,
    options: { platform?: string | undefined; signal?: AbortSignal | undefined },
  ): Promise<{ image: Image; resolved: ResolvedImage }>;
  /** Makes a committed snapshot and those below it usable again. */
  ensure(key: string | undefined): Promise<void>;
  /** Removes a snapshot that nothing needs; whether it was such a one. */
  collect(key: string): Promise<boolean>;
  withLease<T>(work: (lease: string) => Promise<T>): Promise<T>;
  /** A lock of that name in the store; undefined while somebody else has it. */
  lock(name: string): Promise<FileLock | undefined>;
}

/** Options of {@link Containers.create}. */
export interface CreateContainerOptions {
  /** Default: the image's name and random digits. */
  id?: string | undefined;
  platform?: string | undefined;
  labels?: Labels | undefined;
  signal?: AbortSignal | undefined;
}

/** Options of {@link Containers.bundle}. */
export interface BundleOptions extends CreateContainerOptions, ProcessOptions {}

/** A bundle that was written. */
export interface Bundle {
  /** Of the container; to be used for the runtime too. */
  id: string;
  image: string;
  /** Absolute path of the directory. */
  bundle: string;
  /** Absolute path of the root file system. */
  rootfs: string;
  mounts: Mount[];
  config: RuntimeSpec;
}

/** Options of {@link Containers.run}. */
export interface RunOptions extends BundleOptions {
  /** Keep the container when it has ended. Default false. */
  keep?: boolean | undefined;
  /** Name or path of the runtime; default `runc`, else `crun`. */
  runtime?: string | undefined;
  /** Of the process; default `inherit`. */
  stdio?: RuntimeRun['stdio'] | undefined;
  /** Pass on the signals that this process gets. Default false. */
  forwardSignals?: boolean | undefined;
  /** Called when the runtime has been started. */
  onStart?: RuntimeRun['onStart'];
}

/** How a container has ended. */
export interface RunResult {
  id: string;
  image: string;
  runtime: string;
  /** Of its process; 128 + N after signal N. */
  exitCode: number;
}

/** Of containers: where their root file system is mounted. */
const mountLabel = 'oci-unpack.io/mount';
/** Of views: where they are mounted; they go with the mount. */
const viewLabel = 'oci-unpack.io/view';

/** Between two looks whether another call has mounted a container. */
const lockMilliseconds = 20;

/** The containers of the store's namespace. */
export class Containers {
  readonly #context: ContainersContext;

  constructor(context: ContainersContext) {
    this.#context = context;
  }

  /** By id. @param filters on `id`, `image`, `snapshotter`, `snapshotkey`, `labels.<name>` */
  list(filters?: readonly string[]): Container[] {
    return this.#context.database.view((tx) => tx.containers.list(filters));
  }

  /** @throws UnpackError `ERR_STORE_NOT_FOUND` */
  get(id: string): Container {
    return this.#context.database.view((tx) => tx.containers.get(id));
  }

  /**
   * Makes a container: a writable snapshot on top of an image of the store, which is unpacked where it is not yet.
   *
   * @throws UnpackError `ERR_STORE_EXISTS`, `ERR_STORE_NOT_FOUND`, and what unpacking throws
   */
  async create(image: string, options: CreateContainerOptions = {}): Promise<Container> {
    return (await this.#create(image, options)).container;
  }

  /**
   * Takes the container, its snapshot and with it all changes away. One that is mounted is unmounted.
   *
   * @throws UnpackError `ERR_STORE_NOT_FOUND`, `ERR_STORE_IN_USE` while a process runs in it, `ERR_MOUNT` while the mount
   * is in use
   */
  async remove(id: string): Promise<void> {
    const { database, snapshotter } = this.#context;
    const container = this.get(id);
    await this.#checkEnded(container);
    const target = container.labels[mountLabel];
    if (target !== undefined) {
      // Nothing else: the mount may have gone with a reboot, and another be there now.
      await unmountOwn(target, await this.#directoriesOf(container.snapshotKey));
    }
    // First: nothing would name it any more.
    await removeTree(this.#ownBundle(id));
    try {
      await snapshotter.removeWith(container.snapshotKey, (tx) => tx.containers.delete(id));
    } catch (error) {
      if ((error as UnpackError).code !== 'ERR_STORE_NOT_FOUND') {
        throw error;
      }
      database.update((tx) => tx.containers.delete(id)); // its snapshot is gone already
    }
  }

  /** How to mount a container's root file system. @throws UnpackError `ERR_STORE_NOT_FOUND`, `ERR_SNAPSHOT_LOST` */
  async mounts(id: string): Promise<Mount[]> {
    const { snapshotter } = this.#context;
    const { snapshotKey } = this.get(id);
    const { parent } = await snapshotter.stat(snapshotKey);
    await this.#context.ensure(parent);
    return snapshotter.mounts(snapshotKey);
  }

  /**
   * Mounts a container's root file system at `target`, a directory; changes go to its snapshot.
   *
   * @throws UnpackError `ERR_STORE_NOT_FOUND`, `ERR_STORE_IN_USE` where it is mounted elsewhere, also in another mount
   * namespace, `ERR_MOUNT`
   */
  async mount(id: string, target: string): Promise<Mount[]> {
    const real = await realPath(givenPath('target', target));
    const mounts = await this.mounts(id);
    let lock = await this.#context.lock(this.#fileName(id));
    for (; lock === undefined; lock = await this.#context.lock(this.#fileName(id))) {
      await sleep(lockMilliseconds);
    }
    try {
      await this.#checkFree(id);
      await this.#mountNoted(id, mounts, real);
    } finally {
      await lock.release();
    }
    return mounts;
  }

  /** Mounts an image of the store read-only at `target`; {@link umount} takes both away. @throws as `mount` */
  async mountImage(image: string, target: string): Promise<Mount[]> {
    const { snapshotter } = this.#context;
    const real = await realPath(givenPath('target', target));
    const { resolved } = await this.#context.unpack(image, {});
    const key = `view/${randomBytes(8).toString('hex')}`;
    return this.#context.withLease(async (lease) => {
      const labels = { [viewLabel]: real, 'containerd.io/gc.root': new Date().toISOString() };
      const parent = resolved.layers.at(-1)?.chainID;
      const mounts = await snapshotter.view(key, parent, { lease, labels });
      try {
        await mountAll(mounts, real);
      } catch (error) {
        await rollBack(() => snapshotter.remove(key));
        throw error;
      }
      return mounts;
    });
  }

  /**
   * Takes away what is mounted at `target`, a directory or a container's id. What was not mounted by this store stays.
   *
   * @returns whether this store had mounted something there
   * @throws UnpackError `ERR_MOUNT` while it is in use
   */
  async umount(target: string): Promise<boolean> {
    const { database, snapshotter } = this.#context;
    const absolute = givenPath('target', target);
    const places: (string | undefined)[] = [absolute, await realPath(absolute)];
    const container = this.list().find(
      ({ id, labels }) =>
        places.includes(labels[mountLabel]) || (id === target && labels[mountLabel] !== undefined),
    );
    const at = container?.labels[mountLabel] ?? absolute;
    const views: string[] = [];
    await snapshotter.walk(({ name, labels }) => {
      if (labels[viewLabel] === at || places.includes(labels[viewLabel])) {
        views.push(name);
      }
    }, 'kind==view');
    if (container === undefined && views.length === 0) {
      return false;
    }
    const keys = [...(container ? [container.snapshotKey] : []), ...views];
    const directories = await Promise.all(keys.map((key) => this.#directoriesOf(key)));
    await unmountOwn(at, directories.flat());
    if (container !== undefined) {
      const labels = { [mountLabel]: null };
      database.update((tx) => tx.containers.update(container.id, { labels }));
    }
    for (const view of views) {
      await this.#removeSnapshot(view);
    }
    return true;
  }

  /**
   * Writes an OCI runtime bundle of a new container: `rootfs`, mounted, and `config.json`. Without the right to mount
   * (kind native, not root) the root of config.json is the snapshot itself.
   *
   * @param directory missing or empty
   * @throws UnpackError `ERR_DESTINATION_NOT_EMPTY`, and as {@link create}; nothing is left then
   */
  async bundle(image: string, directory: string, options: BundleOptions = {}): Promise<Bundle> {
    const { database, rootless } = this.#context;
    const absolute = givenPath('directory', directory);
    const rootfs = path.join(absolute, 'rootfs');
    const { makeNested } = await import('./default-spec.js');
    const { makeSpec } = await import('./runtime-spec.js');
    const { resolveUser, userIn } = await import('./user.js');
    const made = await makeEmptyDirectory(absolute);
    let container: Container | undefined;
    try {
      const created = await this.#create(image, options);
      container = created.container;
      const { id } = container;
      const [mounts, direct] = await this.#mountBundle(container, rootfs);
      const config = created.resolved.config;
      const isRoot = process.geteuid?.() === 0;
      const user = await resolveUser(direct ?? rootfs, options.user ?? userIn(config.config));
      const spec = makeSpec(
        {
          id,
          namespace: database.namespace,
          image: config,
          rootfs: direct ?? 'rootfs',
          user,
          rootless: isRoot
            ? undefined
            : { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 },
        },
        options,
      );
      if (isRoot && rootless) {
        makeNested(spec);
      }
      await writeFile(path.join(absolute, 'config.json'), `${JSON.stringify(spec, null, 2)}\n`);
      database.update((tx) => tx.containers.update(id, { spec }));
      const { image: name } = container;
      return { id, image: name, bundle: absolute, rootfs: direct ?? rootfs, mounts, config: spec };
    } catch (error) {
      const id = container?.id;
      await rollBack(
        () => id !== undefined && unmountAll(rootfs),
        () => id !== undefined && this.remove(id),
        () => removeTree(path.join(absolute, 'config.json')),
        () => rmdir(rootfs),
        () => made && rmdir(absolute),
      );
      throw UnpackError.fromSystem(error, absolute);
    }
  }

  /**
   * Runs a new container of an image with the host's runtime, in the foreground, and takes it away after.
   *
   * @throws UnpackError `ERR_UNSUPPORTED` where there is no runtime, and as {@link bundle}; that the process fails is
   * no error
   */
  async run(image: string, options: RunOptions = {}): Promise<RunResult> {
    const { deleteContainer, findRuntime, runBundle } = await import('./runtime.js');
    const runtime = await findRuntime(options.runtime);
    const id = options.id ?? containerID(image);
    const directory = this.#ownBundle(id);
    await makeDirectory(path.dirname(directory), 0o700);
    const bundle = await this.bundle(image, directory, { ...options, id });
    let exitCode: number;
    try {
      exitCode = await runBundle({
        runtime,
        bundle: directory,
        id,
        forwardSignals: options.forwardSignals ?? false,
        signal: options.signal,
        stdio: options.stdio ?? 'inherit',
        onStart: options.onStart,
      });
    } finally {
      await deleteContainer(runtime, directory, id);
      if (options.keep) {
        await this.umount(id);
        await removeTree(directory);
      } else {
        await this.remove(id);
      }
    }
    return { id, image: bundle.image, runtime, exitCode };
  }

  async #create(
    name: string,
    options: CreateContainerOptions,
  ): Promise<{ container: Container; resolved: ResolvedImage }> {
    const { database, snapshotter } = this.#context;
    const { platform, labels, signal } = options;
    const id = options.id ?? containerID(name);
    const check = () =>
      database.view((tx) => {
        if (tx.containers.find(id) !== undefined) {
          throw new UnpackError('ERR_STORE_EXISTS', `container ${id}: is in the store already`);
        }
      });
    check();
    const { image, resolved } = await this.#context.unpack(name, { platform, signal });
    // Snapshots are shared by all namespaces, ids of containers are not.
    const snapshotKey = `${database.namespace}/${id}`;
    const container = await this.#context.withLease(async (lease) => {
      const prepare = () =>
        snapshotter.prepare(snapshotKey, resolved.layers.at(-1)?.chainID, { lease });
      await prepare().catch(async (error: UnpackError) => {
        // Of one that could not be made, nor taken back; one that is being made now has a lease.
        if (error.code !== 'ERR_STORE_EXISTS' || !(await this.#context.collect(snapshotKey))) {
          throw error;
        }
        await prepare();
      });
      try {
        return database.update((tx) =>
          tx.containers.create({
            id,
            image: image.name,
            snapshotter: snapshotter.kind,
            snapshotKey,
            labels,
          }),
        );
      } catch (error) {
        await rollBack(() => snapshotter.remove(snapshotKey));
        throw error;
      }
    });
    return { container, resolved };
  }

  /** Mounts at `rootfs`; or tells the directory that is to be the root, where nothing can be mounted. */
  async #mountBundle(
    { id, snapshotKey }: Container,
    rootfs: string,
  ): Promise<[Mount[], string | undefined]> {
    const mounts = await this.#context.snapshotter.mounts(snapshotKey);
    const [only] = mounts;
    if (process.geteuid?.() !== 0 && mounts.length === 1 && only?.type === 'bind') {
      return [mounts, only.source];
    }
    await mkdir(rootfs, { mode: 0o755 });
    await this.#mountNoted(id, mounts, await realPath(rootfs));
    return [mounts, undefined];
  }

  /** Mounts a container at `target`, a real path. Noted before: whoever dies when, what is mounted is known. */
  async #mountNoted(id: string, mounts: readonly Mount[], target: string): Promise<void> {
    const note = (place: string | null) =>
      this.#context.database.update((tx) =>
        tx.containers.update(id, { labels: { [mountLabel]: place } }),
      );
    note(target);
    try {
      await mountAll(mounts, target);
    } catch (error) {
      await rollBack(() => note(null));
      throw error;
    }
  }

  /** Two mounts of one writable directory harm each other's files (overlayfs.rst, "Sharing and copying layers"). */
  async #checkFree(id: string): Promise<void> {
    const [directory = ''] = await this.#directoriesOf(this.get(id).snapshotKey);
    const [use] = (await liveMounts([directory])).get(directory) ?? [];
    if (use !== undefined) {
      const problem = `is mounted at ${use.target}, as process ${use.pid} sees it`;
      throw new UnpackError('ERR_STORE_IN_USE', `container ${id}: ${problem}`);
    }
  }

  /** A process has it as its root in a mount namespace of its own, where unmounting it here changes nothing. */
  async #checkEnded({ id, snapshotKey }: Container): Promise<void> {
    const info = await this.#context.snapshotter.stat(snapshotKey).catch(() => undefined);
    const uses = info && (await liveMounts([info.directory])).get(info.directory);
    const running = uses?.find(({ target }) => target === '/');
    if (running !== undefined) {
      const problem = `process ${running.pid} runs in it; end it first (runc delete --force ${id})`;
      throw new UnpackError('ERR_STORE_IN_USE', `container ${id}: ${problem}`);
    }
  }

  /** The directory that a mount of a snapshot needs: its own, or of a view the one that it shows; none where it is gone. */
  async #directoriesOf(key: string): Promise<string[]> {
    const { snapshotter } = this.#context;
    const info = await snapshotter.stat(key).catch(() => undefined);
    const shown =
      info?.kind === 'view' && info.parent !== undefined
        ? await snapshotter.stat(info.parent).catch(() => undefined)
        : info;
    return shown === undefined ? [] : [shown.directory];
  }

  async #removeSnapshot(key: string): Promise<void> {
    await this.#context.snapshotter.remove(key).catch((error: UnpackError) => {
      if (error.code !== 'ERR_STORE_NOT_FOUND') {
        throw error;
      }
    });
  }

  #ownBundle(id: string): string {
    return path.join(this.#context.root, 'bundles', this.#fileName(id));
  }

  /** No other container's: what is between the two is in no identifier. */
  #fileName(id: string): string {
    return `${this.#context.database.namespace}~${id}`;
  }
}

/** `debian-node-3f9a1c` of `docker.io/library/debian-node:latest`. */
function containerID(image: string): string {
  const base = /([A-Za-z0-9._-]+)(?:[:@][^/]*)?$/.exec(image)?.[1] ?? '';
  const name =
    base
      .replace(/[._-]+/g, '-')
      .replace(/^-|-$/g, '')
      .slice(0, 40) || 'container';
  return `${name}-${randomBytes(3).toString('hex')}`;
}

/** As the kernel tells where something is mounted; what is not there as it is. */
function realPath(file: string): Promise<string> {
  return realpath(file).catch(() => file);
}

/** Whether it had to be made. */
async function makeEmptyDirectory(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, { mode: 0o700 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw UnpackError.fromSystem(error, directory);
    }
  }
  const names = await readdir(directory).catch((error: unknown) => {
    throw UnpackError.fromSystem(error, directory);
  });
  if (names.length > 0) {
    throw new UnpackError('ERR_DESTINATION_NOT_EMPTY', `${directory}: is not empty`, {
      path: directory,
    });
  }
  return false;
}
