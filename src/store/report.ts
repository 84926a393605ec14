// What importing and unpacking into a store report.

import type { SnapshotterKind } from '../snapshots/index.js';
import type { ResolvedImage } from '../source/index.js';
import type { ImageWarning, LayerCounts } from '../unpack/report.js';
import type { StoreLayerResult } from '../unpack/store-layers.js';
import type { StoreContext } from './context.js';

/** A layer of a {@link StoreReport}. */
export interface StoreLayerReport {
  /** Digest of the blob. */
  digest: string;
  mediaType: string;
  /** Bytes of the blob. */
  size: number;
  diffID: string;
  /** Name of the layer's snapshot. */
  chainID: string;
  /** `present`: it was there, or another process or call has made it meanwhile. */
  status: 'unpacked' | 'present';
  /** Absolute path of its files; with kind native of the whole tree up to it. */
  directory: string;
  /** Bytes of the tar; undefined where a layer that was there does not say. */
  uncompressedSize?: number | undefined;
  counts?: LayerCounts | undefined;
  /** Milliseconds per stage, of a layer that this call has unpacked. */
  times?: Record<string, number> | undefined;
}

/** What `Store.import` and `Store.unpack` resolve to. */
export interface StoreReport {
  /** Name of the image in the store. */
  name: string;
  /** Where it came from; the name again for `unpack`. */
  reference: string;
  /** What the name stands for: the manifest, or an index that has it. */
  targetDigest: string;
  manifestDigest: string;
  configDigest: string;
  /** `os/architecture[/variant]`. */
  platform: string;
  snapshotter: SnapshotterKind;
  /** ChainID: name of the snapshot that has all layers; empty for an image without layers, or one not unpacked. */
  snapshot: string;
  /** Bottom first; empty where nothing was to be unpacked. */
  layers: StoreLayerReport[];
  /** Blobs that this call has written, and those that were there. */
  blobs: { written: number; present: number; bytesWritten: number };
  /** Of all layers, as far as they are known. */
  warnings: ImageWarning[];
  /** Milliseconds. */
  milliseconds: number;
}

/** The report of what a call has done with `image`. `results` has none where it was not to be unpacked. */
export function storeReport(
  { snapshotter }: Pick<StoreContext, 'snapshotter'>,
  image: ResolvedImage,
  done: Pick<StoreReport, 'name' | 'blobs'> & {
    unpacks: boolean;
    results: readonly StoreLayerResult[];
  },
): Omit<StoreReport, 'milliseconds'> {
  return {
    name: done.name,
    reference: image.reference,
    targetDigest: image.root.digest,
    manifestDigest: image.manifestDigest,
    configDigest: image.configDigest,
    platform: image.platform,
    snapshotter: snapshotter.kind,
    snapshot: done.unpacks ? (image.layers.at(-1)?.chainID ?? '') : '',
    blobs: done.blobs,
    ...layerReports(image.layers, done.results),
  };
}

function layerReports(
  layers: ResolvedImage['layers'],
  results: readonly StoreLayerResult[],
): Pick<StoreReport, 'layers' | 'warnings'> {
  const warnings: ImageWarning[] = [];
  const reports = results.map((result, index): StoreLayerReport => {
    const { descriptor, diffID } = layers[index] as ResolvedImage['layers'][number];
    const { digest, mediaType, size } = descriptor;
    const { report, chainID, reused, directory } = result;
    for (const warning of report?.warnings ?? []) {
      warnings.push({ layer: digest, ...warning });
    }
    return {
      digest,
      mediaType,
      size,
      diffID,
      chainID,
      status: reused ? 'present' : 'unpacked',
      directory,
      uncompressedSize: report?.uncompressedSize,
      counts: report?.counts,
      times: reused ? undefined : report?.times,
    };
  });
  return { layers: reports, warnings };
}
