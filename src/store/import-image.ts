// Imports an image: its blobs into the content store, and, at the same time and from the same files, its layers into
// snapshots. What the call has made a lease holds until one transaction names the image.

import { setMaxListeners } from 'node:events';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { checkLabels, checkName, type Image, type LeaseResource } from '../metadata/index.js';
import type { Descriptor } from '../oci/index.js';
import { Slots } from '../slots.js';
import {
  type ImageSource,
  openImageSource,
  type ResolvedImage,
  resolveImage,
} from '../source/index.js';
import type { Space } from '../source/space.js';
import { throwIfAborted } from '../unpack/layer-run.js';
import { limitDefaults } from '../unpack/options.js';
import type { StoreLayerResult } from '../unpack/store-layers.js';
import { resolveStoreOptions, type StoreContext, type StoreUnpackOptions } from './context.js';
import { type ImageDocument, ingestDocument, readDocuments } from './image-documents.js';
import { type StoreReport, storeReport } from './report.js';
import { platformLabel } from './stored-image.js';
import {
  checkRoom,
  labelUnpacked,
  missingLayers,
  removeMade,
  snapshotResources,
  unpackLayers,
} from './unpack-image.js';

/** Options of `Store.import`. */
export interface ImportOptions extends StoreUnpackOptions {
  /** Name of the image in the store; default what the source calls it, or its file's name and tag. */
  name?: string | undefined;
  /** `os/architecture[/variant]` to choose from an index; default this host's. */
  platform?: string | undefined;
  /** Also unpack it. Default true. */
  unpack?: boolean | undefined;
  /** Labels of the image. */
  labels?: Readonly<Record<string, string>> | undefined;
}

/** Imports the image that `reference` names. */
export async function importImage(
  context: StoreContext,
  reference: string,
  options: ImportOptions,
): Promise<StoreReport> {
  const started = performance.now();
  const { signal } = options;
  resolveStoreOptions(context, options);
  throwIfAborted(signal);
  const session = context.session();
  const source = await openImageSource(reference, {
    signal,
    maxRatio: options.limits?.maxRatio ?? limitDefaults.maxRatio,
  });
  try {
    const { platform } = options;
    const image = await resolveImage(source, platform === undefined ? {} : { platform });
    const name = options.name ?? imageName(source, image.root);
    // Now, not when all is unpacked.
    checkName('image name', name);
    checkLabels(options.labels);
    const call = new ImageImport(context, source, image, { ...options, name });
    const resources = await call.resources();
    const made = { snapshots: call.snapshots, blobs: call.blobs };
    try {
      const report = await session.withLease(context.database, resources, (lease) =>
        call.run(lease),
      );
      await context.sync();
      return { ...report, milliseconds: performance.now() - started };
    } catch (error) {
      if (signal?.aborted) {
        await removeMade(context, made);
      }
      throw error;
    }
  } finally {
    await source.close();
  }
}

/** Blobs that are copied at once: each takes descriptors, and the bottom ones are wanted first. */
const mostIngests = 16;

class ImageImport {
  readonly #context: StoreContext;
  readonly #source: ImageSource;
  readonly #image: ResolvedImage;
  readonly #options: ImportOptions & { name: string };
  #documents: ImageDocument[] = [];
  /** Snapshots and blobs that this call has made. */
  readonly snapshots: string[] = [];
  readonly blobs: string[] = [];
  #bytesWritten = 0;

  constructor(
    context: StoreContext,
    source: ImageSource,
    image: ResolvedImage,
    options: ImportOptions & { name: string },
  ) {
    this.#context = context;
    this.#source = source;
    this.#image = image;
    this.#options = options;
  }

  /** All that will belong to the image, whether it is there or not. */
  async resources(): Promise<LeaseResource[]> {
    this.#documents = await readDocuments(this.#image, (one) => this.#source.readBlob(one));
    const digests = new Set([
      ...this.#documents.map(({ descriptor }) => descriptor.digest),
      ...this.#image.layers.map(({ descriptor }) => descriptor.digest),
    ]);
    return [
      ...Array.from(digests, (id) => ({ type: 'content', id })),
      ...(this.#unpacks ? snapshotResources(this.#context, this.#image) : []),
    ];
  }

  async run(lease: string): Promise<Omit<StoreReport, 'milliseconds'>> {
    const { database } = this.#context;
    const image = this.#image;
    const missing = this.#unpacks ? await missingLayers(this.#context, image.layers) : [];
    const total = await this.#checkRoom(missing);
    const results = await this.#write(lease);
    const { name, labels, platform } = this.#options;
    const stored: Pick<Image, 'name' | 'target'> & { labels?: Record<string, string> } = {
      name,
      target: image.root,
    };
    if (labels !== undefined || platform !== undefined) {
      stored.labels = { ...(platform && { [platformLabel]: platform }), ...labels };
    }
    database.update((tx) => {
      tx.images.set(stored);
      if (this.#unpacks) {
        labelUnpacked(tx, this.#context, image);
      }
      tx.leases.delete(lease);
    });
    const written = this.blobs.length;
    return storeReport(this.#context, image, {
      name: stored.name,
      unpacks: this.#unpacks,
      results,
      blobs: { written, present: total - written, bytesWritten: this.#bytesWritten },
    });
  }

  get #unpacks(): boolean {
    return this.#options.unpack ?? true;
  }

  /** Ingests and unpacks at once; when one fails, the other stops. */
  async #write(lease: string): Promise<StoreLayerResult[]> {
    const controller = new AbortController();
    setMaxListeners(0, controller.signal); // each blob waits with it
    const { signal } = this.#options;
    const stop = () => controller.abort(signal?.reason);
    signal?.addEventListener('abort', stop, { once: true });
    const ingests = new Map<string, Promise<unknown>>();
    const ingesting = new Slots(mostIngests);
    for (const { descriptor } of this.#image.layers) {
      if (!ingests.has(descriptor.digest)) {
        const ingest = ingesting.run(controller.signal, () =>
          this.#ingestLayer(descriptor, lease, controller.signal),
        );
        ingest.catch((error: unknown) => controller.abort(error));
        ingests.set(descriptor.digest, ingest);
      }
    }
    const writeAll = async (): Promise<void> => {
      // After the layers: a manifest that is there must not promise what is not.
      await Promise.all(ingests.values());
      const { content } = this.#context;
      for (const document of this.#documents) {
        const isNew = await ingestDocument(content, document, lease, controller.signal);
        this.#noteBlob(document.descriptor, isNew);
      }
    };
    const writing = writeAll();
    writing.catch((error: unknown) => controller.abort(error));
    const unpacking = this.#unpacks
      ? unpackLayers(
          this.#context,
          this.#image,
          { ...this.#options, signal: controller.signal },
          {
            lease,
            locate: (descriptor) => this.#source.locateBlob(descriptor),
            stored: (descriptor) => ingests.get(descriptor.digest) ?? Promise.resolve(),
            created: this.snapshots,
          },
        )
      : Promise.resolve([]);
    unpacking.catch((error: unknown) => controller.abort(error));
    try {
      const [, results] = await Promise.all([writing, unpacking]);
      return results;
    } catch (error) {
      controller.abort(error);
      await Promise.allSettled([...ingests.values(), writing, unpacking]);
      if (signal?.aborted) {
        throw new UnpackError('ERR_ABORTED', 'the import was cancelled', { cause: signal.reason });
      }
      // The first that failed, not what was cancelled for it.
      const { reason } = controller.signal;
      throw reason instanceof UnpackError ? reason : UnpackError.from(error);
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  async #ingestLayer(descriptor: Descriptor, lease: string, signal: AbortSignal): Promise<void> {
    const { content } = this.#context;
    const { digest, size } = descriptor;
    const location = await this.#source.locateBlob(descriptor);
    const isNew = (await content.find(digest)) === undefined;
    try {
      await content.ingestFile(`layer-${digest}`, location, { digest, size, lease, signal });
    } catch (error) {
      throw UnpackError.from(error, digest);
    }
    this.#noteBlob(descriptor, isNew);
  }

  #noteBlob({ digest, size }: Descriptor, isNew: boolean): void {
    if (isNew) {
      this.blobs.push(digest);
      this.#bytesWritten += size;
    }
  }

  /** @returns the number of blobs */
  async #checkRoom(missing: ResolvedImage['layers']): Promise<number> {
    const { content } = this.#context;
    const blobs = new Map<string, Descriptor>();
    for (const { descriptor } of [...this.#documents, ...this.#image.layers]) {
      blobs.set(descriptor.digest, descriptor);
    }
    const needed: Space = { bytes: 0, inodes: 0 };
    for (const { digest, size } of blobs.values()) {
      if ((await content.find(digest)) === undefined) {
        needed.bytes += size;
        needed.inodes++;
      }
    }
    await checkRoom(this.#context, needed, missing, (descriptor) =>
      this.#source.locateBlob(descriptor),
    );
    return blobs.size;
  }
}

/** Annotations that hold the whole name of an image (containerd), or its tag or name (image-spec annotations.md). */
const nameAnnotation = 'io.containerd.image.name';
const refNameAnnotation = 'org.opencontainers.image.ref.name';

/** What to call an image: as its source does, or by the name of the file and its tag. */
export function imageName(
  { reference, transport }: Pick<ImageSource, 'reference' | 'transport'>,
  root: Descriptor,
): string {
  const full = root.annotations?.[nameAnnotation];
  if (full !== undefined && full !== '') {
    return full;
  }
  const ref = root.annotations?.[refNameAnnotation] ?? '';
  if (ref.includes('/') || ref.includes(':')) {
    return ref;
  }
  const [, file = '', selector = ''] = /^[a-z-]+:([^:]*)(?::(.*))?$/s.exec(reference) ?? [];
  const name = selector.startsWith('@') ? '' : selector;
  if (transport === 'docker-archive' && name !== '') {
    return name;
  }
  if (name.includes('/') || name.includes(':')) {
    return name;
  }
  const base = path
    .basename(path.resolve(file))
    .replace(/\.(?:tar|tgz|tzst|oci|tar\.(?:gz|zst|zstd))$/, '')
    .replace(/[^A-Za-z0-9._-]+/g, '-');
  return `${base === '' || base === '-' ? 'image' : base.toLowerCase()}:${name || ref || 'latest'}`;
}
