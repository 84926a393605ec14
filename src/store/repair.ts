// Unpacks images that the store has: asked for, or because a snapshot is missing or was lost with the power.

import { UnpackError } from '../errors.js';
import type { Image } from '../metadata/index.js';
import type { ResolvedImage } from '../source/index.js';
import {
  layerLabel,
  parseLayerLabel,
  type StoreLayer,
  type StoreLayerResult,
} from '../unpack/store-layers.js';
import type { StoreContext, StoreUnpackOptions } from './context.js';
import { type StoreReport, storeReport } from './report.js';
import { findImage, readImage } from './stored-image.js';
import {
  checkRoom,
  type ImageLayers,
  labelUnpacked,
  missingLayers,
  removeMade,
  snapshotResources,
  unpackLayers,
} from './unpack-image.js';

/** An image of the store with all its layers unpacked. */
export interface UnpackedImage {
  image: Image;
  resolved: ResolvedImage;
  results: StoreLayerResult[];
}

/** Unpacks what is missing of an image of the store. */
export async function unpackStoredImage(
  context: StoreContext,
  name: string,
  options: StoreUnpackOptions & { platform?: string | undefined },
): Promise<UnpackedImage> {
  const image = context.database.view((tx) => findImage(tx.images, name));
  const resolved = await readImage(context, image, { platform: options.platform });
  return { image, resolved, results: await unpackChain(context, resolved, options) };
}

/** The report of it. */
export function unpackReport(
  context: StoreContext,
  { image, resolved, results }: UnpackedImage,
  milliseconds: number,
): StoreReport {
  const blobs = { written: 0, present: resolved.layers.length, bytesWritten: 0 };
  const report = storeReport(context, resolved, {
    name: image.name,
    unpacks: true,
    results,
    blobs,
  });
  return { ...report, reference: image.name, targetDigest: image.target.digest, milliseconds };
}

/**
 * Makes the committed snapshot `key` and those below it usable: what was lost with the power is unpacked again from
 * its blob.
 *
 * @throws UnpackError `ERR_SNAPSHOT_LOST` where that cannot be: the blob is gone, or it was no layer of an image
 */
export async function ensureChain(context: StoreContext, key: string | undefined): Promise<void> {
  if (key === undefined || !(await isLost(context, key))) {
    return;
  }
  const layers: StoreLayer[] = [];
  for (let name: string | undefined = key; name !== undefined; ) {
    const info = await context.snapshotter.stat(name);
    const layer = parseLayerLabel(name, info.labels[layerLabel]);
    if (layer === undefined) {
      throw new UnpackError(
        'ERR_SNAPSHOT_LOST',
        `snapshot ${name}: is no layer of an image, and cannot be made again`,
      );
    }
    layers.unshift(layer);
    name = info.parent;
  }
  await unpackChain(context, { configDigest: '', layers }, {});
}

async function isLost(context: StoreContext, key: string): Promise<boolean> {
  try {
    await context.snapshotter.layer(key);
    return false;
  } catch (error) {
    if ((error as UnpackError).code === 'ERR_SNAPSHOT_LOST') {
      return true;
    }
    throw error;
  }
}

/** Unpacks what is missing of layers whose blobs the store has. */
async function unpackChain(
  context: StoreContext,
  image: ImageLayers,
  options: StoreUnpackOptions,
): Promise<StoreLayerResult[]> {
  const { content, database } = context;
  const missing = await missingLayers(context, image.layers);
  const locate = (descriptor: StoreLayer['descriptor']) => content.locateBlob(descriptor);
  const created: string[] = [];
  try {
    const session = context.session();
    return await session.withLease(
      database,
      [
        ...snapshotResources(context, image),
        ...image.layers.map(({ descriptor }) => ({ type: 'content', id: descriptor.digest })),
      ],
      async (lease) => {
        await checkRoom(context, { bytes: 0, inodes: 0 }, missing, locate);
        const results = await unpackLayers(context, image, options, { lease, locate, created });
        if (image.configDigest !== '') {
          database.update((tx) => labelUnpacked(tx, context, image));
        }
        await context.sync();
        return results;
      },
    );
  } catch (error) {
    if (options.signal?.aborted) {
      await removeMade(context, { snapshots: created, blobs: [] });
    }
    throw error;
  }
}
