// Pulls an image: its documents first, then each layer that is missing streams from the registry into the content store
// and the unpacker at once. What the call has made a lease holds until one transaction names the image.

import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { blobPath } from '../content/index.js';
import { UnpackError } from '../errors.js';
import { checkLabels, checkName, gc, type LeaseResource } from '../metadata/index.js';
import { type Descriptor, formatImageName, parseImageName } from '../oci/index.js';
import { downloadLayer, isDamage, type PullProgress, PullTracker } from '../pull/index.js';
import {
  type ClientOptions,
  RegistryClient,
  RegistryImage,
  readBlob,
  type TakeBytes,
} from '../registry/index.js';
import { Slots } from '../slots.js';
import { type ResolvedImage, resolveImage } from '../source/index.js';
import { checkSpace, guessedSpace, layerSpace } from '../source/space.js';
import { throwIfAborted } from '../unpack/layer-run.js';
import type { LayerOrigin, StoreLayerResult } from '../unpack/store-layers.js';
import { resolveStoreOptions, type StoreContext, type StoreUnpackOptions } from './context.js';
import { type ImageDocument, ingestDocument, readDocuments } from './image-documents.js';
import { type StoreReport, storeReport } from './report.js';
import { platformLabel } from './stored-image.js';
import { labelUnpacked, missingLayers, snapshotResources, unpackLayers } from './unpack-image.js';

/** Options of `Store.pull`. */
export interface PullOptions extends Omit<StoreUnpackOptions, 'onProgress'>, ClientOptions {
  /** Name of the image in the store; default the full form of the reference, `docker.io/library/debian:latest`. */
  name?: string | undefined;
  /** `os/architecture[/variant]` to choose from an index; default this host's. */
  platform?: string | undefined;
  /** Also unpack it. Default true. */
  unpack?: boolean | undefined;
  /** Labels of the image. */
  labels?: Readonly<Record<string, string>> | undefined;
  /**
   * False: the layers' blobs are removed when their snapshots are on the disk. A snapshot that is lost must be pulled
   * again then, and there is nothing to compare it with. Default true.
   */
  keepBlobs?: boolean | undefined;
  /** Layers that download at once, 1 to 64. Default 4. */
  downloads?: number | undefined;
  /**
   * Ranges of one layer that download at once, 1 to 16. Default 1, but for a layer of 64 MiB and more whose connection
   * gives less than 50 MiB/s, where fewer layers are missing than may download at once: up to 3, so that there are as
   * many connections.
   */
  parallelRanges?: number | undefined;
  /** Also takes layers from the `urls` of their descriptors, where the registry has them not. Default false. */
  foreignUrls?: boolean | undefined;
  /** Called at most 20 times a second, and once at the end. An error that it throws cancels the call and is its cause. */
  onProgress?: ((progress: PullProgress) => void) | undefined;
}

/** What `Store.pull` resolves to. */
export interface PullReport extends StoreReport {
  /** What went over the network for the layers: bytes, also those that came twice; broken downloads gone on with. */
  network: { bytes: number; resumed: number };
  /** Mirrors that answered with something else than they were asked for: it came from the next host. `HOST[:PORT]`. */
  wrongHosts: string[];
  /** Blobs of layers that were removed, by `keepBlobs: false`. */
  blobsDropped: number;
}

/** From here on a layer may be downloaded in several ranges where it comes slowly, by default in so many at most. */
const bigBlob = 64 * 1024 * 1024;
const defaultRanges = 3;
/** Bytes per second of one connection that are enough: each range costs the registry and us more than its bytes do. */
const fastConnection = 50 * 1024 * 1024;
const defaultDownloads = 4;
/** Milliseconds between two looks at a blob that somebody else downloads. */
const busyMilliseconds = 50;
/** Of an image whose layers' blobs were not kept. */
const blobsDroppedLabel = 'oci-unpack.io/blobs-dropped';

/** Pulls the image that `reference` names. */
export async function pullImage(
  context: StoreContext,
  reference: string,
  options: PullOptions,
): Promise<PullReport> {
  const started = performance.now();
  const { signal, platform, keepBlobs = true, unpack = true } = options;
  const name = parseImageName(reference.replace(/^docker:\/\//, ''));
  resolveStoreOptions(context, unpackOptions(options));
  if (options.name !== undefined) {
    checkName('image name', options.name);
  }
  checkLabels(options.labels);
  checkCount('downloads', options.downloads, 64);
  checkCount('parallelRanges', options.parallelRanges, 16);
  if (!keepBlobs && !unpack) {
    const text = 'keepBlobs: false leaves nothing of an image that is not unpacked';
    throw new UnpackError('ERR_INVALID_ARGUMENT', text);
  }
  throwIfAborted(signal);
  const session = context.session();
  const client = await RegistryClient.open(name, options);
  try {
    const known = (one: Descriptor) => storedDocument(context, one);
    const stored = options.name ?? formatImageName(name);
    const isNew =
      name.digest === undefined &&
      context.database.view((tx) => tx.images.find(stored)) === undefined;
    const source = new RegistryImage(client, known, isNew, signal);
    const image = await resolveImage(source, platform === undefined ? {} : { platform });
    const documents = await readDocuments(image, (one) => source.readBlob(one), {
      keepLayers: keepBlobs,
    });
    const call = new ImagePull(context, client, image, documents, options);
    const report = await session.withLease(context.database, call.resources(), (lease) =>
      call.run(lease),
    );
    await context.sync();
    const blobsDropped = keepBlobs ? 0 : await call.dropBlobs();
    return { ...report, blobsDropped, milliseconds: performance.now() - started };
  } catch (error) {
    if (signal?.aborted) {
      throw new UnpackError('ERR_ABORTED', 'the pull was cancelled', { cause: signal.reason });
    }
    throw error;
  } finally {
    await client.close();
  }
}

class ImagePull {
  readonly #context: StoreContext;
  readonly #client: RegistryClient;
  readonly #image: ResolvedImage;
  readonly #documents: readonly ImageDocument[];
  readonly #options: PullOptions;
  readonly #slots: Slots;
  readonly #tracker: PullTracker;
  readonly #buffers: Buffer[] = [];
  /** Blobs that this call downloads or has downloaded. */
  readonly #downloads = new Map<string, Promise<void>>();
  /** Blobs that have had a download in this call; of them, those that go on with what an earlier call had downloaded. */
  readonly #begun = new Set<string>();
  readonly #resumed = new Set<string>();
  /** Of which wrong bytes have come. */
  readonly #damaged = new Set<string>();
  #written = new Map<string, Descriptor>();
  readonly #network = { bytes: 0, resumed: 0 };
  /** Of one big layer. */
  #bigRanges = 1;

  constructor(
    context: StoreContext,
    client: RegistryClient,
    image: ResolvedImage,
    documents: readonly ImageDocument[],
    options: PullOptions,
  ) {
    this.#context = context;
    this.#client = client;
    this.#image = image;
    this.#documents = documents;
    this.#options = options;
    this.#slots = new Slots(options.downloads ?? defaultDownloads);
    const layers = image.layers.map(({ descriptor }) => descriptor);
    this.#tracker = new PullTracker(layers, options.onProgress);
  }

  /** All that will belong to the image, whether it is there or not. */
  resources(): LeaseResource[] {
    return [
      ...Array.from(this.#blobs().keys(), (id) => ({ type: 'content', id })),
      ...(this.#unpacks ? snapshotResources(this.#context, this.#image) : []),
    ];
  }

  async run(lease: string): Promise<Omit<PullReport, 'milliseconds' | 'blobsDropped'>> {
    await this.#lookAhead();
    const results = await this.#writeSafely(lease);
    const { database } = this.#context;
    const image = this.#image;
    const { platform, keepBlobs = true } = this.#options;
    const name = this.#options.name ?? image.reference;
    database.update((tx) => {
      const labels = {
        ...(platform && { [platformLabel]: platform }),
        ...(!keepBlobs && { [blobsDroppedLabel]: 'true' }),
        ...this.#options.labels,
      };
      const known = tx.images.find(name);
      // A pull that finds everything as it is leaves the record as it is.
      if (known?.target.digest !== image.root.digest || Object.keys(labels).length > 0) {
        tx.images.set({
          name,
          target: image.root,
          ...(Object.keys(labels).length > 0 && { labels }),
        });
      }
      if (this.#unpacks) {
        labelUnpacked(tx, this.#context, image);
      }
      tx.leases.delete(lease);
    });
    const written = [...this.#written.values()];
    const report = storeReport(this.#context, image, {
      name,
      unpacks: this.#unpacks,
      results,
      blobs: {
        written: written.length,
        present: this.#blobs().size - written.length,
        bytesWritten: written.reduce((sum, { size }) => sum + size, 0),
      },
    });
    return { ...report, network: { ...this.#network }, wrongHosts: this.#client.avoided };
  }

  /** Removes the blobs of layers that nothing else holds; their snapshots are on the disk first. @returns how many */
  async dropBlobs(): Promise<number> {
    const { snapshotter, database, content, durability } = this.#context;
    if (durability !== 'none') {
      await snapshotter.sync();
    }
    const only = this.#image.layers.map(({ descriptor }) => ({
      type: 'content',
      id: descriptor.digest,
    }));
    const taken = gc(database, { only }).content.length;
    if (taken > 0) {
      await content.cleanup();
    }
    return taken;
  }

  get #unpacks(): boolean {
    return this.#options.unpack ?? true;
  }

  #blobs(): Map<string, Descriptor> {
    const all = [...this.#documents, ...this.#image.layers];
    return new Map(all.map(({ descriptor }) => [descriptor.digest, descriptor]));
  }

  /** Again as long as wrong bytes may have come from what an earlier call had left, or from a mirror. */
  async #writeSafely(lease: string): Promise<StoreLayerResult[]> {
    let wrong: unknown;
    for (;;) {
      try {
        return await this.#write(lease);
      } catch (error) {
        const isWrong = isDamage(error);
        const again = isWrong && !this.#options.signal?.aborted && (await this.#dropWrong());
        if (!again) {
          throw isWrong ? error : (wrong ?? error);
        }
        // That nobody else can help says less than what a mirror has done.
        wrong = again === 'elsewhere' ? error : undefined;
        this.#downloads.clear();
      }
    }
  }

  /** Sees to it that what was wrong comes once more, from its first byte; undefined where there is nowhere else. */
  async #dropWrong(): Promise<'anew' | 'elsewhere' | undefined> {
    // A power loss may leave such.
    const resumed = [...this.#resumed];
    for (const digest of resumed) {
      await this.#context.content.abort(refOf(digest)).catch(() => false);
    }
    const others = [...this.#damaged].filter((digest) => !this.#resumed.has(digest));
    const avoided = others.filter((digest) => this.#client.avoid(digest));
    this.#resumed.clear();
    this.#damaged.clear();
    if (avoided.length > 0) {
      return 'elsewhere';
    }
    return resumed.length > 0 ? 'anew' : undefined;
  }

  /** Downloads and unpacks at once; when one fails, all stop. */
  async #write(lease: string): Promise<StoreLayerResult[]> {
    const controller = new AbortController();
    setMaxListeners(0, controller.signal); // as many as there are layers
    const { signal } = this.#options;
    const stop = () => controller.abort(signal?.reason);
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) {
      stop();
    }
    this.#tracker.start();
    const work = this.#unpacks
      ? this.#unpack(lease, controller.signal)
      : this.#store(lease, controller.signal);
    try {
      const results = await work;
      const { content } = this.#context;
      // After the layers: a manifest that is there must not promise what is not.
      for (const document of this.#documents) {
        if (await ingestDocument(content, document, lease, controller.signal)) {
          this.#written.set(document.descriptor.digest, document.descriptor);
        }
      }
      return results;
    } catch (error) {
      controller.abort(error);
      await Promise.allSettled(this.#downloads.values());
      throw UnpackError.from(error);
    } finally {
      this.#tracker.stop();
      signal?.removeEventListener('abort', stop);
    }
  }

  #unpack(lease: string, signal: AbortSignal): Promise<StoreLayerResult[]> {
    const options = {
      ...unpackOptions(this.#options),
      signal,
      ...(this.#options.onProgress && {
        onProgress: this.#tracker.unpacking.bind(this.#tracker),
      }),
    };
    return unpackLayers(this.#context, this.#image, options, {
      lease,
      locate: (descriptor) => this.#originOf(descriptor, lease, signal),
      stored: ({ digest }) => this.#downloads.get(digest) ?? Promise.resolve(),
      created: [],
      hasty: true,
    });
  }

  /** Only downloads. */
  async #store(lease: string, signal: AbortSignal): Promise<[]> {
    const layers = new Map(
      this.#image.layers.map(({ descriptor }) => [descriptor.digest, descriptor]),
    );
    await Promise.all([...layers.values()].map((one) => this.#fetch(one, lease, signal)));
    return [];
  }

  async #fetch(descriptor: Descriptor, lease: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      throwIfAborted(signal);
      const origin = await this.#originOf(descriptor, lease, signal);
      if (origin !== 'busy') {
        await ('feed' in origin ? origin.feed() : undefined);
        return;
      }
      await sleep(busyMilliseconds);
    }
  }

  /** Where a layer comes from: the blob that is there, or a download that is begun; somebody else's is waited for. */
  async #originOf(
    descriptor: Descriptor,
    lease: string,
    signal: AbortSignal,
  ): Promise<Exclude<LayerOrigin, { feed: unknown }> | Download> {
    const { content } = this.#context;
    const { digest, size } = descriptor;
    if ((await content.find(digest)) !== undefined) {
      this.#tracker.watch(digest, () => size);
      return content.locateBlob(descriptor);
    }
    const writer = await content
      .writer(refOf(digest), { digest, size, hash: !this.#unpacks })
      .catch((error: UnpackError) => {
        if (error.code !== 'ERR_STORE_BUSY' && error.code !== 'ERR_STORE_EXISTS') {
          throw error;
        }
      });
    if (writer === undefined) {
      return 'busy';
    }
    if (writer.offset > 0 && !this.#begun.has(digest)) {
      this.#resumed.add(digest);
    }
    this.#begun.add(digest);
    this.#tracker.watch(digest, () => writer.offset);
    const { parallelRanges, foreignUrls: foreign } = this.#options;
    const ranges = parallelRanges ?? (size < bigBlob ? 1 : this.#bigRanges);
    const read = (from: number, stop: AbortSignal, take: TakeBytes) => {
      const onReceived = (bytes: number) => {
        this.#network.bytes += bytes;
      };
      const onResumed = () => {
        this.#network.resumed++;
      };
      const onlyBelow = parallelRanges === undefined ? fastConnection : undefined;
      const own = { from, ranges, onlyBelow, foreign, signal: stop, onReceived, onResumed };
      return readBlob(this.#client, descriptor, own, take);
    };
    return {
      replay: { path: blobPath(content.root, digest) },
      abandon: () => writer.close(),
      feed: (job) => {
        const [slots, buffers] = [this.#slots, this.#buffers];
        const download = { descriptor, writer, read, buffers, slots, signal, lease };
        const done = downloadLayer(download, job).then(
          () => {
            this.#written.set(digest, descriptor);
          },
          (error) => {
            if (isDamage(error)) {
              this.#damaged.add(digest);
            }
            throw error;
          },
        );
        this.#downloads.set(digest, done);
        return done;
      },
    };
  }

  /** Whether there is room: of what is missing the blobs count as they are, and what is in them by a guess. */
  async #lookAhead(): Promise<void> {
    const { content, root } = this.#context;
    const { layers } = this.#image;
    const missing = this.#unpacks ? await missingLayers(this.#context, layers) : layers;
    const needed = { bytes: 0, inodes: 0 };
    const counted = new Set<string>();
    for (const { descriptor } of missing) {
      const { digest, size } = descriptor;
      const isThere = (await content.find(digest)) !== undefined;
      if (!isThere && !counted.has(digest)) {
        counted.add(digest);
        const begun = (await content.ingestStatus(refOf(digest)))?.offset ?? 0;
        needed.bytes += Math.max(size - begun, 0);
        needed.inodes++;
      }
      if (this.#unpacks) {
        const space = isThere
          ? await layerSpace(await content.locateBlob(descriptor))
          : guessedSpace(size);
        needed.bytes += space.bytes;
        needed.inodes += space.inodes;
      }
    }
    const connections = this.#options.downloads ?? defaultDownloads;
    const each = Math.floor(connections / Math.max(counted.size, 1));
    this.#bigRanges = Math.min(Math.max(each, 1), defaultRanges);
    if (needed.bytes > 0) {
      await checkSpace(root, needed);
    }
  }
}

/** A download that has its ingest and waits for its job, or for none. */
interface Download {
  replay: { path: string };
  abandon(): Promise<void>;
  feed(job?: Parameters<typeof downloadLayer>[1]): Promise<void>;
}

/** containerd's name of a layer's ingest, which `Store.import` uses too. */
function refOf(digest: string): string {
  return `layer-${digest}`;
}

function unpackOptions({ onProgress: _, ...options }: PullOptions): StoreUnpackOptions {
  return options;
}

async function storedDocument(
  { content }: StoreContext,
  descriptor: Descriptor,
): Promise<Buffer | undefined> {
  const found = await content.find(descriptor.digest);
  return found?.size === descriptor.size ? content.readBlob(descriptor) : undefined;
}

function checkCount(what: string, value: number | undefined, most: number): void {
  if (value !== undefined && (!Number.isInteger(value) || value < 1 || value > most)) {
    throw new UnpackError(
      'ERR_INVALID_ARGUMENT',
      `${what}: ${value} is not a whole number from 1 to ${most}`,
    );
  }
}
