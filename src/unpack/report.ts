// The report of a call, and image.json: their shapes are a contract (docs/image-json.md).

import type { LayerCounts } from '../native/index.js';
import type { Format } from './options.js';

/** A thing that is not on disk exactly as the layer has it, or that needed the layers below. */
export interface Warning {
  /** What happened, e.g. `xattr-dropped`; docs/image-json.md lists all kinds. */
  kind: string;
  /** Path inside the layer. Bytes that are not UTF-8 are written `\xNN`, a backslash `\\`. */
  path: string;
  /** The reason, or what was done, for people. */
  detail: string;
}

/** A {@link Warning} with the digest of its layer. */
export interface ImageWarning extends Warning {
  layer: string;
}

export type { LayerCounts } from '../native/index.js';

/** What became of one layer. */
export interface LayerReport {
  /** Digest of the blob, `sha256:...`. */
  digest: string;
  /** Media type of the descriptor; empty for a layer given without one. */
  mediaType: string;
  /** Bytes of the blob. */
  size: number;
  /** Digest of the uncompressed tar. */
  diffID: string;
  /** Identity of this layer on top of the ones below it (image-spec, config.md). */
  chainID: string;
  /** Where it was written: relative to image.json for an image, as given for a single layer. */
  path: string;
  compression: 'gzip' | 'zstd' | 'none' | 'empty';
  /** The decoder that ran: `isa-l`, `zlib`, `zstd`, `identity`. */
  decoder: string;
  /** Bytes of the tar. */
  uncompressedSize: number;
  counts: LayerCounts;
  /** Milliseconds per stage, summed over threads, and `wall` by the clock. */
  times: Record<string, number>;
  /** The layer was decoded a second time because a lower layer has a symlink where it has a parent. */
  replanned: boolean;
  warnings: Warning[];
}

/** A mount in containerd's shape: `mount -t TYPE -o OPTIONS SOURCE TARGET`. */
export interface Mount {
  type: string;
  source: string;
  options: string[];
}

/** A layer in image.json: as {@link LayerReport}, its warnings being in the image's list. */
export type ImageLayer = Omit<LayerReport, 'warnings'>;

/** The file image.json. */
export interface ImageJson {
  reference: string;
  manifestDigest: string;
  configDigest: string;
  /** `os/architecture[/variant]`. */
  platform: string;
  format: Format;
  /** Bottom first. */
  layers: ImageLayer[];
  /** How to mount the image read-only; empty for an image without layers. Sources are absolute paths. */
  mounts: Mount[];
  warnings: ImageWarning[];
}

/** What {@link unpackImage} resolves to. */
export interface ImageReport extends Omit<ImageJson, 'layers'> {
  /** Bottom first, each with its own warnings. */
  layers: LayerReport[];
  /** Absolute path of the directory that holds image.json. */
  destination: string;
  /**
   * `unpacked`: from nothing; `completed`: an earlier, interrupted call had done part of it; `confirmed`: all was
   * there.
   */
  status: 'unpacked' | 'completed' | 'confirmed';
  /** Layers that an earlier call had committed. */
  reusedLayers: number;
  /** Wall time of the call. */
  milliseconds: number;
}
