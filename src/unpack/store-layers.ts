// The layers of an image as committed snapshots of a store, each named by its chainID. All that are missing are unpacked
// at once and committed bottom-up; a layer that another process or call is unpacking is waited for, and taken
// over when its owner gives up or dies.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cleanUp, rollBack } from '../clean-up.js';
import { UnpackError } from '../errors.js';
import {
  type FileLock,
  type FileWindow,
  type Group,
  type LayerJob,
  type LayerTree,
  loadBinding,
  removeTree,
} from '../native/index.js';
import type { Descriptor } from '../oci/index.js';
import type { LayerSnapshotter, Staging } from '../snapshots/index.js';
import type { BlobLocation } from '../source/index.js';
import { choicesLabels, type LayerChoices } from './choices-label.js';
import { JobSet } from './job-set.js';
import type { LayerLocks } from './layer-locks.js';
import { abortError, jobOptions, layerReport, throwIfAborted, withSignal } from './layer-run.js';
import type { ResolvedOptions } from './options.js';
import { ProgressSampler, type TrackedLayer, type UnpackProgress } from './progress.js';
import type { LayerReport } from './report.js';

/** A layer as its image has it. */
export interface StoreLayer {
  descriptor: Descriptor;
  /** Digest of the uncompressed layer. */
  diffID: string;
  /** Name of its snapshot. */
  chainID: string;
}

/** A layer that is fed to its job as it comes. */
export interface LayerStream {
  /** Where all of it can be read again when {@link StoreLayersContext.stored} has resolved. */
  replay: FileWindow;
  /** Feeds the job that has been started. A rejection stops all. */
  feed(job: LayerJob): Promise<unknown>;
  /** Instead of `feed`, where no job could be started. */
  abandon(): Promise<void>;
}

/** Where the bytes of a layer come from. */
export type LayerOrigin = BlobLocation | LayerStream | 'busy';

/** What {@link unpackStoreLayers} works with. */
export interface StoreLayersContext {
  snapshotter: Pick<
    LayerSnapshotter,
    'kind' | 'format' | 'flat' | 'stat' | 'stage' | 'seed' | 'adopt' | 'layer'
  >;
  locks: LayerLocks;
  /** A lease that holds the snapshots from their beginning. */
  lease: string;
  options: Omit<ResolvedOptions, 'format'>;
  /** Other policies and limits of a layer: those that it was unpacked with before. */
  optionsOf?(layer: StoreLayer): LayerChoices;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: UnpackProgress) => void) | undefined;
  /** Where the bytes of a layer can be read, or how they come; `busy` while somebody else fetches them. */
  locate(descriptor: Descriptor): Promise<LayerOrigin>;
  /** Resolves when the blob is in the content store, without which no snapshot of it may be committed. */
  stored?(descriptor: Descriptor): Promise<unknown>;
  /** Half layers of a call that is cancelled are removed behind its back, so that it ends at once. */
  hasty?: boolean;
}

/** What became of a layer. */
export interface StoreLayerResult {
  chainID: string;
  /** It was there, or another process or call has made it. */
  reused: boolean;
  /** The directory of its files. */
  directory: string;
  /** As it was unpacked; undefined where a reused layer's cannot be read. */
  report?: LayerReport | undefined;
}

/** Of a snapshot: what it was unpacked from, so that it can be made again. */
export const layerLabel = 'oci-unpack.io/layer';

/** containerd's label of a snapshot that was unpacked: its chainID. */
export const snapshotRefLabel = 'containerd.io/snapshot.ref';

const reportName = 'layer.json';
/** Milliseconds between two looks at a layer that somebody else unpacks. */
const waitMilliseconds = 20;

/** The value of {@link layerLabel}. */
export function layerLabelOf({ descriptor, diffID }: StoreLayer): string {
  const { digest, size, mediaType } = descriptor;
  return JSON.stringify({ diffID, digest, size, mediaType });
}

/** Reads {@link layerLabelOf} back; undefined where there is none. */
export function parseLayerLabel(chainID: string, text: string | undefined): StoreLayer | undefined {
  try {
    const { diffID, ...descriptor } = JSON.parse(text ?? '') as Descriptor & { diffID: string };
    return { chainID, diffID, descriptor };
  } catch {
    return undefined;
  }
}

/**
 * Unpacks what is missing of `layers`, bottom first. When it fails or `signal` fires, everything has stopped before the
 * promise rejects; whole layers from the bottom up stay committed.
 *
 * @param created gets the chainID of each layer when this call has committed it
 */
export async function unpackStoreLayers(
  layers: readonly StoreLayer[],
  context: StoreLayersContext,
  created: string[] = [],
): Promise<StoreLayerResult[]> {
  throwIfAborted(context.signal);
  return new StoreUnpack(layers, context, created).run();
}

/** A layer that this call unpacks. */
interface OwnLayer {
  lock: FileLock;
  staging: Staging;
  job: LayerJob;
  /** Its bytes come as a stream. */
  streams: boolean;
}

class StoreUnpack {
  readonly #layers: readonly StoreLayer[];
  readonly #context: StoreLayersContext;
  readonly #created: string[];
  readonly #jobs = new JobSet();
  readonly #sampler: ProgressSampler;
  readonly #tracked: TrackedLayer[] = [];
  readonly #group: Group;
  readonly #own = new Set<OwnLayer>();
  /** The view of the layers below the next one, and those of them that are not part of it yet. */
  #below: LayerTree | null = null;
  #unloaded: string[] = [];
  readonly #waiting: Promise<unknown>[] = [];

  constructor(layers: readonly StoreLayer[], context: StoreLayersContext, created: string[]) {
    this.#layers = layers;
    this.#context = context;
    this.#created = created;
    this.#sampler = new ProgressSampler(context.onProgress);
    this.#group = loadBinding().createGroup(context.options.concurrency);
  }

  async run(): Promise<StoreLayerResult[]> {
    const { signal } = this.#context;
    const onAbort = () => {
      if (signal !== undefined) {
        this.#jobs.fail(abortError(signal));
      }
    };
    const present = await Promise.all(this.#layers.map(({ chainID }) => this.#isThere(chainID)));
    for (const [index, { descriptor }] of this.#layers.entries()) {
      const phase = present[index] ? 'reused' : 'waiting';
      this.#tracked.push(this.#sampler.add(descriptor.digest, descriptor.size, phase));
    }
    this.#sampler.start();
    try {
      return await withSignal(signal, onAbort, async () => {
        return await this.#runAll(present);
      });
    } catch (error) {
      this.#jobs.fail(error);
      await Promise.allSettled(this.#waiting);
      return await this.#jobs.stop(error);
    } finally {
      this.#sampler.stop();
      this.#jobs.close();
      // What cannot be removed now is removed with the staging area, or swept.
      await rollBack(...Array.from(this.#own, (own) => () => this.#giveUp(own)));
    }
  }

  /** Starts those layers `from` to `end` that can be, the biggest blob first; what each waits for. */
  async #obtain(
    present: readonly boolean[],
    from: number,
    end: number,
  ): Promise<Promise<OwnLayer | undefined>[]> {
    const indices = [...this.#layers.keys()].slice(from, end);
    const obtaining = indices.map(() => Promise.resolve<OwnLayer | undefined>(undefined));
    const missing = indices
      .filter((index) => !present[index])
      .sort((a, b) => this.#layer(b).descriptor.size - this.#layer(a).descriptor.size);
    for (const index of missing) {
      const first = await this.#tryObtain(index);
      if (first === 'busy') {
        const waiting = this.#waitFor(index);
        waiting.catch((error: unknown) => this.#jobs.fail(error));
        this.#waiting.push(waiting);
        obtaining[index - from] = waiting;
      } else {
        obtaining[index - from] = Promise.resolve(first);
      }
    }
    return obtaining;
  }

  /** Waits until somebody else has committed the layer, or it is ours to unpack. */
  async #waitFor(index: number): Promise<OwnLayer | undefined> {
    for (;;) {
      await sleep(waitMilliseconds);
      this.#jobs.throwIfFailed();
      const { chainID } = this.#layer(index);
      const obtained = (await this.#isThere(chainID)) ? undefined : await this.#tryObtain(index);
      if (obtained !== 'busy') {
        return obtained;
      }
    }
  }

  /** Undefined when the layer is there after all; else a job for it, unless somebody else has it in work. */
  async #tryObtain(index: number): Promise<OwnLayer | 'busy' | undefined> {
    this.#jobs.throwIfFailed();
    const { snapshotter, locks, options, optionsOf, locate } = this.#context;
    const { descriptor, diffID, chainID } = this.#layer(index);
    const { digest, size } = descriptor;
    const lock = await locks.tryLock(snapshotter.kind, chainID);
    if (lock === undefined) {
      return 'busy';
    }
    let staging: Staging | undefined;
    let stream: LayerStream | undefined;
    try {
      if (await this.#isThere(chainID)) {
        await lock.release();
        return undefined;
      }
      const origin = await locate(descriptor);
      if (origin === 'busy') {
        await lock.release();
        return 'busy';
      }
      stream = 'feed' in origin ? origin : undefined;
      const source = 'feed' in origin ? ({ stream: true, replay: origin.replay } as const) : origin;
      staging = await snapshotter.stage();
      const directory = snapshotter.flat ? path.join(staging.directory, 'layer') : staging.fs;
      if (snapshotter.flat) {
        await mkdir(directory);
      }
      this.#jobs.throwIfFailed();
      const job = this.#jobs.start({
        ...jobOptions({ ...options, ...optionsOf?.(this.#layer(index)), format: 'overlay' }),
        format: snapshotter.format,
        source,
        directory,
        countUsage: !snapshotter.flat,
        hasLower: index > 0,
        digest,
        size,
        diffID,
        label: digest,
        group: this.#group,
      });
      const own = { lock, staging, job, streams: stream !== undefined };
      this.#own.add(own);
      if (stream !== undefined) {
        const feeding = stream.feed(job);
        feeding.catch((error: unknown) => this.#jobs.fail(error));
        this.#waiting.push(feeding);
        stream = undefined;
      }
      const tracked = this.#trackedLayer(index);
      tracked.phase = 'unpacking';
      tracked.sample = () => job.progress();
      return own;
    } catch (error) {
      await rollBack(
        () => stream?.abandon(),
        () => staging?.discard(),
        () => lock.release(),
      );
      throw UnpackError.from(error, digest);
    }
  }

  /**
   * Starts the layers, and commits them bottom-up, each as soon as it and the one below it are ready. Each that is
   * committed makes room for another: there may be more of them than descriptors.
   */
  async #runAll(present: readonly boolean[]): Promise<StoreLayerResult[]> {
    const results: StoreLayerResult[] = [];
    const obtaining = await this.#obtain(present, 0, loadBinding().layersAtOnce());
    for (const [index, obtained] of obtaining.entries()) {
      const { chainID, descriptor } = this.#layer(index);
      const own = await obtained;
      this.#jobs.throwIfFailed();
      const tracked = this.#trackedLayer(index);
      try {
        const report = own && (await this.#commit(index, own, tracked));
        const { directory, fs } = await this.#context.snapshotter.layer(chainID);
        if (report === undefined) {
          this.#unloaded.push(chainID);
          tracked.phase = 'reused';
        } else {
          tracked.phase = 'done';
          if (this.#below !== null) {
            loadBinding().moveTree(this.#below, fs);
          }
        }
        results.push({
          chainID,
          reused: report === undefined,
          directory: fs,
          report: report ?? (await readReport(directory)),
        });
      } catch (error) {
        throw UnpackError.from(error, descriptor.digest);
      }
      obtaining.push(...(await this.#obtain(present, obtaining.length, obtaining.length + 1)));
    }
    return results;
  }

  /** Settles and commits a layer; undefined when there was one in its place meanwhile. */
  async #commit(
    index: number,
    own: OwnLayer,
    tracked: TrackedLayer,
  ): Promise<LayerReport | undefined> {
    const { snapshotter, lease, options, stored } = this.#context;
    const layer = this.#layer(index);
    const { descriptor, chainID } = layer;
    const { job, staging, lock } = own;
    await job.done;
    this.#jobs.throwIfFailed();
    tracked.phase = 'settling';
    if (own.streams) {
      await stored?.(descriptor); // settling may read it again
      this.#jobs.throwIfFailed();
    }
    const parent = index === 0 ? undefined : this.#layer(index - 1).chainID;
    const below = await this.#treeBelow(staging, parent);
    const settled = await job.settle(below, {
      indexPath: staging.treeIndex,
      flatRoot: snapshotter.flat ? staging.fs : undefined,
    });
    const tree = this.#jobs.keep(settled.tree);
    const identity = { mediaType: descriptor.mediaType, chainID, path: 'fs' };
    const report = layerReport(identity, settled);
    await writeFile(path.join(staging.directory, reportName), `${JSON.stringify(report)}\n`);
    if (snapshotter.flat) {
      await removeTree(path.join(staging.directory, 'layer'));
    }
    await stored?.(descriptor);
    this.#jobs.throwIfFailed();
    try {
      await snapshotter.adopt(chainID, parent, staging, {
        usage: settled.usage && { size: settled.usage.bytes, inodes: settled.usage.inodes },
        lease,
        labels: {
          [snapshotRefLabel]: chainID,
          [layerLabel]: layerLabelOf(layer),
          ...choicesLabels(options),
        },
      });
    } catch (error) {
      if ((error as UnpackError).code !== 'ERR_STORE_EXISTS') {
        throw error;
      }
      return undefined; // somebody who has not locked: a commit by hand
    }
    this.#created.push(chainID);
    if (snapshotter.flat) {
      // Each has all files of the image so far, and is scanned anew.
      this.#jobs.drop(tree);
      if (below !== null) {
        this.#jobs.drop(below);
      }
    } else {
      this.#below = tree;
    }
    this.#unloaded = [];
    this.#own.delete(own);
    await lock.release();
    return report;
  }

  /** The merged view of the layers below. */
  async #treeBelow(staging: Staging, parent: string | undefined): Promise<LayerTree | null> {
    const { snapshotter } = this.#context;
    const binding = loadBinding();
    if (snapshotter.flat) {
      if (parent === undefined) {
        return null;
      }
      await snapshotter.seed(staging, parent);
      return this.#jobs.keep(await binding.scanTree(staging.fs));
    }
    for (const name of this.#unloaded) {
      const { fs, treeIndex } = await snapshotter.layer(name);
      this.#below = this.#jobs.keep(binding.loadTree(treeIndex, fs, this.#below));
    }
    this.#unloaded = [];
    return this.#below;
  }

  async #isThere(chainID: string): Promise<boolean> {
    try {
      const { kind, durability } = await this.#context.snapshotter.stat(chainID);
      return kind === 'committed' && durability !== 'lost';
    } catch (error) {
      if ((error as UnpackError).code === 'ERR_STORE_NOT_FOUND') {
        return false;
      }
      throw error;
    }
  }

  async #giveUp(own: OwnLayer): Promise<void> {
    this.#own.delete(own);
    const hasty = this.#context.hasty && this.#context.signal?.aborted;
    await cleanUp(
      () => (hasty ? own.staging.abandon() : own.staging.discard()),
      () => own.lock.release(),
    );
  }

  #layer(index: number): StoreLayer {
    return this.#layers[index] as StoreLayer;
  }

  #trackedLayer(index: number): TrackedLayer {
    return this.#tracked[index] as TrackedLayer;
  }
}

async function readReport(directory: string): Promise<LayerReport | undefined> {
  try {
    return JSON.parse(await readFile(path.join(directory, reportName), 'utf8')) as LayerReport;
  } catch {
    return undefined;
  }
}
