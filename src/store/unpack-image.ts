// Unpacks an image into committed snapshots, from wherever its blobs lie, and says so in the metadata.

import type { UnpackError } from '../errors.js';
import { gc, gcLabels, type LeaseResource, type Transaction } from '../metadata/index.js';
import type { Descriptor } from '../oci/index.js';
import type { BlobLocation } from '../source/index.js';
import { checkSpace, layerSpace, type Space } from '../source/space.js';
import {
  type LayerOrigin,
  type StoreLayer,
  type StoreLayerResult,
  unpackStoreLayers,
} from '../unpack/store-layers.js';
import { resolveStoreOptions, type StoreContext, type StoreUnpackOptions } from './context.js';

/** On a blob: digest of the uncompressed layer. */
const uncompressedLabel = 'containerd.io/uncompressed';

/** The parts of an image that unpacking needs. */
export interface ImageLayers {
  configDigest: string;
  layers: readonly StoreLayer[];
}

/** The snapshots of an image, which a lease must hold before they are looked for. */
export function snapshotResources(context: StoreContext, { layers }: ImageLayers): LeaseResource[] {
  const type = `snapshots/${context.snapshotter.kind}`;
  return layers.map(({ chainID }) => ({ type, id: chainID }));
}

/** Unpacks what is missing of an image; `created` as for {@link unpackStoreLayers}. */
export function unpackLayers(
  context: StoreContext,
  image: ImageLayers,
  options: StoreUnpackOptions,
  work: {
    lease: string;
    locate: (descriptor: Descriptor) => Promise<LayerOrigin>;
    hasty?: boolean;
    stored?: (descriptor: Descriptor) => Promise<unknown>;
    created: string[];
  },
): Promise<StoreLayerResult[]> {
  const { snapshotter, locks } = context;
  const { signal, onProgress } = options;
  const { lease, locate, stored, created, hasty = false } = work;
  const base = { snapshotter, locks, lease, signal, onProgress, locate, hasty };
  return unpackStoreLayers(
    image.layers,
    {
      ...base,
      options: resolveStoreOptions(context, options),
      ...(stored && { stored }),
    },
    created,
  );
}

/** Notes with the content that an image is unpacked: containerd's labels. */
export function labelUnpacked(
  tx: Transaction,
  context: StoreContext,
  { configDigest, layers }: ImageLayers,
): void {
  for (const { descriptor, diffID } of layers) {
    if (tx.content.has(descriptor.digest)) {
      tx.content.update(descriptor.digest, { labels: { [uncompressedLabel]: diffID } });
    }
  }
  const top = layers.at(-1);
  if (top !== undefined) {
    const label = `${gcLabels.refSnapshot}${context.snapshotter.kind}`;
    tx.content.update(configDigest, { labels: { [label]: top.chainID } });
  }
}

/** The layers that are not there, or not to be trusted. */
export async function missingLayers(
  context: StoreContext,
  layers: readonly StoreLayer[],
): Promise<StoreLayer[]> {
  const there = await Promise.all(
    layers.map(async ({ chainID }) => {
      const info = await context.snapshotter.stat(chainID).catch((error: UnpackError) => {
        if (error.code !== 'ERR_STORE_NOT_FOUND') {
          throw error;
        }
      });
      return info?.kind === 'committed' && info.durability !== 'lost';
    }),
  );
  return layers.filter((_, index) => !there[index]);
}

/**
 * Checks that there is room for blobs of `bytes` and for the missing layers.
 *
 * @throws UnpackError `ERR_NO_SPACE`
 */
export async function checkRoom(
  context: StoreContext,
  blobs: Space,
  missing: readonly StoreLayer[],
  locate: (descriptor: Descriptor) => Promise<BlobLocation>,
): Promise<void> {
  const needed = { ...blobs };
  for (const { descriptor } of missing) {
    const { bytes, inodes } = await layerSpace(await locate(descriptor));
    needed.bytes += bytes;
    needed.inodes += inodes;
  }
  if (needed.bytes > 0) {
    await checkSpace(context.root, needed);
  }
}

/** Of what a cancelled call has made, removes what nothing else needs, so that it leaves nothing to collect. */
export async function removeMade(
  context: StoreContext,
  made: { snapshots: readonly string[]; blobs: readonly string[] },
): Promise<void> {
  if (made.snapshots.length === 0 && made.blobs.length === 0) {
    return;
  }
  const { database, snapshotter, content } = context;
  const type = `snapshots/${snapshotter.kind}`;
  const only = [
    ...made.snapshots.map((id) => ({ type, id })),
    ...made.blobs.map((id) => ({ type: 'content', id })),
  ];
  const taken = gc(database, { only });
  if (taken.snapshots.length > 0) {
    await snapshotter.cleanup();
  }
  if (taken.content.length > 0) {
    await content.cleanup();
  }
}

/** Removes a snapshot that nothing needs. @returns whether it was such a one */
export async function collectSnapshot(context: StoreContext, id: string): Promise<boolean> {
  const { database, snapshotter } = context;
  const only = [{ type: `snapshots/${snapshotter.kind}`, id }];
  const { snapshots } = gc(database, { only });
  if (snapshots.length > 0) {
    await snapshotter.cleanup();
  }
  return snapshots.length > 0;
}
