// unpackImage: all layers of an image at once into staging directories, settled and committed bottom-up.

import path from 'node:path';
import { rollBack } from '../clean-up.js';
import { UnpackError } from '../errors.js';
import type { Group, LayerJob, LayerTree, SettleResult } from '../native/index.js';
import { loadBinding } from '../native/index.js';
import type { Descriptor } from '../oci/index.js';
import {
  type BlobLocation,
  type ImageSource,
  openImageSource,
  type ResolvedImage,
  resolveImage,
} from '../source/index.js';
import { Destination } from './destination.js';
import { flatRootName, layerName, layerPath, makeImageJson, treeIndexName } from './image-json.js';
import { JobSet } from './job-set.js';
import { abortError, jobOptions, layerReport, throwIfAborted, withSignal } from './layer-run.js';
import {
  type CommonOptions,
  limitDefaults,
  type ResolvedOptions,
  resolveDurability,
  resolveOptions,
  type UnpackDurability,
} from './options.js';
import { ProgressSampler, type TrackedLayer } from './progress.js';
import type { ImageJson, ImageReport, LayerReport } from './report.js';
import { watched } from './watched.js';

/** Options of {@link unpackImage}. */
export interface UnpackImageOptions extends CommonOptions {
  /** `os/architecture[/variant]` to choose from an index; default this host's. */
  platform?: string;
  /** Default `none`. */
  durability?: UnpackDurability;
}

/**
 * Unpacks an image: its layers to `DEST/layers/000/fs` (the bottom) and up, or with format `flat` one merged tree
 * to `DEST/rootfs`; then `DEST/image.json`, which is there only when all is.
 *
 * `destination` must be missing or empty, or hold an unpack of the same image with the same format and
 * policies, which is then completed or confirmed; an interrupted one with others is begun anew. When it fails, or `signal` fires, everything has stopped
 * before the promise rejects, and no half layer is left; whole layers stay for the next call. That of an earlier boot is
 * made anew, unless it was made with `durability: 'wait'`.
 *
 * @param reference `oci:PATH[:TAG]`, `oci-archive:PATH[:TAG]`, `docker-archive:PATH[:NAME]` or `containerd:NAME`.
 * @throws UnpackError
 */
export async function unpackImage(
  reference: string,
  destination: string,
  options: UnpackImageOptions = {},
): Promise<ImageReport> {
  return watched(options, (given) => unpackWatched(reference, destination, given));
}

async function unpackWatched(
  reference: string,
  destination: string,
  options: UnpackImageOptions,
): Promise<ImageReport> {
  const started = performance.now();
  const resolved = resolveOptions(options);
  const durability = resolveDurability(options.durability);
  const { signal } = options;
  throwIfAborted(signal);
  const source = await openImageSource(reference, {
    signal,
    maxRatio: resolved.limits.maxRatio ?? limitDefaults.maxRatio,
  }).catch((error: unknown) => {
    throwIfAborted(signal);
    throw UnpackError.from(error);
  });
  try {
    const image = await resolveImage(source, { platform: options.platform });
    throwIfAborted(signal);
    const target = await Destination.open(destination, {
      manifestDigest: image.manifestDigest,
      format: resolved.format,
      policies: resolved.policies,
    });
    const unpack = new ImageUnpack(source, image, target, resolved, { ...options, durability });
    try {
      const report = await unpack.run();
      unpack.close();
      await target.close();
      return { ...report, milliseconds: performance.now() - started };
    } catch (error) {
      unpack.close();
      await rollBack(() => target.abandon());
      throw error;
    }
  } catch (error) {
    throw UnpackError.from(error);
  } finally {
    await source.close();
  }
}

interface LocatedLayer {
  index: number;
  descriptor: Descriptor;
  blob: BlobLocation;
  /** The staged `fs` of the layer; `tree.idx` is written beside it. */
  directory: string;
  tracked: TrackedLayer;
}

type RunningLayer = LocatedLayer & { job: LayerJob };

/** One call of unpackImage on an open destination. */
class ImageUnpack {
  readonly #source: ImageSource;
  readonly #image: ResolvedImage;
  readonly #target: Destination;
  readonly #options: ResolvedOptions;
  readonly #durability: UnpackDurability;
  readonly #signal: AbortSignal | undefined;
  readonly #sampler: ProgressSampler;
  readonly #jobs = new JobSet();

  constructor(
    source: ImageSource,
    image: ResolvedImage,
    target: Destination,
    resolved: ResolvedOptions,
    options: UnpackImageOptions & { durability: UnpackDurability },
  ) {
    this.#source = source;
    this.#image = image;
    this.#target = target;
    this.#options = resolved;
    this.#durability = options.durability;
    this.#signal = options.signal;
    this.#sampler = new ProgressSampler(options.onProgress);
  }

  /** Lets go of every descriptor below the destination, which could not be unmounted otherwise. */
  close(): void {
    this.#jobs.close();
  }

  async run(): Promise<Omit<ImageReport, 'milliseconds'>> {
    const finished = await this.#target.finishedImage();
    if (this.#options.format === 'flat') {
      if (finished !== undefined && (await this.#target.hasFlatRoot())) {
        const layers = withWarnings(finished);
        return this.#finish(layers, layers.length, true);
      }
      const layers = await this.#unpackAbove([], null);
      await this.#target.commitFlat(await this.#flatRoot(), this.#imageJson(layers));
      return this.#finish(layers, 0, false);
    }
    const committed = await this.#committedLayers();
    const reused = committed.length;
    if (reused === this.#image.layers.length) {
      return this.#finish(committed, reused, finished !== undefined);
    }
    const below = await this.#loadTrees(committed);
    return this.#finish(await this.#unpackAbove(committed, below), committed.length, false);
  }

  async #finish(
    layers: LayerReport[],
    reusedLayers: number,
    confirmed: boolean,
  ): Promise<Omit<ImageReport, 'milliseconds'>> {
    const image = this.#imageJson(layers);
    await this.#target.writeImageJson(image);
    await this.#target.removeStaging();
    if (this.#durability === 'wait') {
      await this.#target.makeDurable();
    }
    const made = this.#target.resumed ? 'completed' : 'unpacked';
    const status = confirmed ? 'confirmed' : made;
    return { ...image, layers, destination: this.#target.directory, status, reusedLayers };
  }

  #imageJson(layers: LayerReport[]): ImageJson {
    const { format } = this.#options;
    return makeImageJson({ ...this.#image, format }, this.#target.directory, layers);
  }

  /** The layers from the bottom up that an earlier call has committed; what lies above a gap is removed. */
  async #committedLayers(): Promise<LayerReport[]> {
    const committed: LayerReport[] = [];
    for (const [index, { descriptor, diffID, chainID }] of this.#image.layers.entries()) {
      const expected = { digest: descriptor.digest, diffID, chainID };
      const report = await this.#target.committedLayer(index, expected);
      if (report !== undefined && committed.length === index) {
        committed.push(report);
      } else {
        await this.#target.dropLayer(index);
      }
    }
    return committed;
  }

  /** Their trees as one view; layers from the first unreadable index on are removed from `committed` and disk. */
  async #loadTrees(committed: LayerReport[]): Promise<LayerTree | null> {
    let below: LayerTree | null = null;
    for (let index = 0; index < committed.length; index++) {
      const directory = path.join(this.#target.directory, layerPath(index));
      const indexPath = path.join(path.dirname(directory), treeIndexName);
      try {
        below = this.#jobs.keep(loadBinding().loadTree(indexPath, directory, below));
      } catch {
        for (let above = index; above < committed.length; above++) {
          await this.#target.dropLayer(above);
        }
        committed.length = index;
      }
    }
    return below;
  }

  /** Unpacks the layers above `committed`; resolves to the reports of all. */
  async #unpackAbove(committed: LayerReport[], below: LayerTree | null): Promise<LayerReport[]> {
    for (const { digest, size } of committed) {
      this.#sampler.add(digest, size, 'reused');
    }
    const onAbort = () => {
      if (this.#signal !== undefined) {
        this.#jobs.fail(abortError(this.#signal));
      }
    };
    this.#sampler.start();
    try {
      return await withSignal(this.#signal, onAbort, async () => {
        const located = await this.#locateAbove(committed.length);
        return [...committed, ...(await this.#runAll(located, below))];
      });
    } catch (error) {
      return await this.#jobs.stop(error);
    } finally {
      this.#sampler.stop();
    }
  }

  /** All layers from `first` up. */
  async #locateAbove(first: number): Promise<LocatedLayer[]> {
    const layers = this.#image.layers.slice(first).map(({ descriptor }, at) => ({
      index: first + at,
      descriptor,
      tracked: this.#sampler.add(descriptor.digest, descriptor.size),
    }));
    const locating = await Promise.allSettled(
      layers.map(async (layer) => {
        const { digest } = layer.descriptor;
        try {
          const blob = await this.#source.locateBlob(layer.descriptor);
          const name = layerName(layer.index);
          return { ...layer, blob, directory: await this.#target.stagingDirectory(name, 'fs') };
        } catch (error) {
          throw UnpackError.from(error, digest);
        }
      }),
    );
    // Not before all have ended: what cleans up must not be overtaken.
    return locating.map((result) => {
      if (result.status === 'rejected') {
        throw result.reason;
      }
      return result.value;
    });
  }

  /** Starts them, the biggest blob first; they run in parallel. */
  #start(layers: readonly LocatedLayer[], group: Group): RunningLayer[] {
    this.#jobs.throwIfFailed();
    const running: RunningLayer[] = [];
    for (const layer of layers.toSorted((a, b) => b.descriptor.size - a.descriptor.size)) {
      const { index, tracked, blob, directory } = layer;
      const { digest, size } = layer.descriptor;
      const job = this.#jobs.start({
        ...jobOptions(this.#options),
        source: blob,
        directory,
        hasLower: index > 0,
        digest,
        size,
        diffID: this.#layer(index).diffID,
        label: digest,
        group,
      });
      tracked.phase = 'unpacking';
      tracked.sample = () => job.progress();
      running.push({ ...layer, job });
    }
    return running.toSorted((a, b) => a.index - b.index);
  }

  /**
   * Starts the layers, settles them bottom-up, each as soon as it and the one below it are ready, and commits them
   * beside that. Each that is settled makes room for another: there may be more of them than descriptors.
   */
  async #runAll(located: LocatedLayer[], bottom: LayerTree | null): Promise<LayerReport[]> {
    this.#jobs.throwIfFailed();
    await this.#target.begin();
    const { createGroup, layersAtOnce, moveTree } = loadBinding();
    const group = createGroup(this.#options.concurrency);
    const running = this.#start(located.slice(0, layersAtOnce()), group);
    const flatRoot = this.#options.format === 'flat' ? await this.#flatRoot() : undefined;
    const reports: LayerReport[] = [];
    let below = bottom;
    let committed = Promise.resolve(); // the layers so far
    try {
      for (const { index, directory, job, tracked } of running) {
        await job.done;
        this.#jobs.throwIfFailed();
        tracked.phase = 'settling';
        const settled = await this.#settle(job, directory, below, flatRoot, index);
        running.push(...this.#start(located.slice(running.length, running.length + 1), group));
        below = this.#jobs.keep(settled.tree);
        const { descriptor, chainID } = this.#layer(index);
        const place = flatRoot ? flatRootName : layerPath(index);
        if (!flatRoot) {
          moveTree(below, path.join(this.#target.directory, place));
        }
        const identity = { mediaType: descriptor.mediaType, chainID, path: place };
        const report = layerReport(identity, settled);
        reports.push(report);
        committed = committed.then(async () => {
          if (!flatRoot) {
            await this.#target.commitLayer(index, report);
          }
          tracked.phase = 'done';
        });
        committed.catch((error) => this.#jobs.fail(UnpackError.from(error, descriptor.digest)));
      }
    } finally {
      await Promise.allSettled([committed]); // what cleans up after a failure must not be overtaken
    }
    this.#jobs.throwIfFailed();
    return reports;
  }

  async #settle(
    job: LayerJob,
    directory: string,
    below: LayerTree | null,
    flatRoot: string | undefined,
    index: number,
  ): Promise<SettleResult> {
    const indexPath = path.join(path.dirname(directory), treeIndexName);
    try {
      return await job.settle(below, flatRoot ? { flatRoot } : { indexPath });
    } catch (error) {
      throw UnpackError.from(error, this.#layer(index).descriptor.digest);
    }
  }

  #flatRoot(): Promise<string> {
    return this.#target.stagingDirectory(flatRootName);
  }

  #layer(index: number): ResolvedImage['layers'][number] {
    const layer = this.#image.layers[index];
    if (layer === undefined) {
      throw new RangeError(`no layer ${index}`);
    }
    return layer;
  }
}

/** The layers of image.json with their warnings; of two equal layers the first gets them. */
function withWarnings(image: ImageJson): LayerReport[] {
  const seen = new Set<string>();
  return image.layers.map((layer) => {
    const own = seen.has(layer.digest)
      ? []
      : image.warnings.filter((warning) => warning.layer === layer.digest);
    seen.add(layer.digest);
    return { ...layer, warnings: own.map(({ layer: _, ...warning }) => warning) };
  });
}
