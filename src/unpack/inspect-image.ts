// inspectImage: what an image is, from its manifest and config alone; no layer is read.

import { UnpackError } from '../errors.js';
import { openImageSource, resolveImage } from '../source/index.js';
import { throwIfAborted } from './layer-run.js';
import { limitDefaults } from './options.js';

/** Options of {@link inspectImage}. */
export interface InspectImageOptions {
  /** `os/architecture[/variant]` to choose from an index; default this host's. */
  platform?: string;
  /** Cancels what opening an archive may take: the promise rejects with `ERR_ABORTED`. */
  signal?: AbortSignal;
}

/** A layer of {@link ImageInfo}. */
export interface LayerInfo {
  digest: string;
  mediaType: string;
  /** Bytes of the blob. */
  size: number;
  diffID: string;
  chainID: string;
  /** The command that made it, from the config's history; empty where that has none. */
  createdBy: string;
}

/** What {@link inspectImage} resolves to. */
export interface ImageInfo {
  reference: string;
  /** How the image is stored: `oci`, `oci-archive`, `docker-archive` or `containerd`. */
  transport: string;
  manifestDigest: string;
  configDigest: string;
  /** `os/architecture[/variant]`. */
  platform: string;
  /** RFC 3339; empty where the config does not say. */
  created: string;
  /** What the image's config says about running it: env, entrypoint, cmd, user, labels and so on. */
  config: Record<string, unknown>;
  annotations: Record<string, string>;
  /** Bottom first. */
  layers: LayerInfo[];
  /** Sum of the blobs' sizes. */
  size: number;
}

/**
 * Reads an image's manifest and config, with every check that {@link unpackImage} makes of them.
 *
 * @throws UnpackError
 */
export async function inspectImage(
  reference: string,
  options: InspectImageOptions = {},
): Promise<ImageInfo> {
  const { platform, signal } = options;
  const what = 'the inspection';
  throwIfAborted(signal, what);
  try {
    const source = await openImageSource(reference, { signal, maxRatio: limitDefaults.maxRatio });
    try {
      const image = await resolveImage(source, { platform });
      const history = (image.config.history ?? []).filter((step) => step.empty_layer !== true);
      return {
        reference: image.reference,
        transport: source.transport,
        manifestDigest: image.manifestDigest,
        configDigest: image.configDigest,
        platform: image.platform,
        created: image.config.created ?? '',
        config: { ...image.config.config },
        annotations: image.manifest.annotations ?? {},
        layers: image.layers.map(({ descriptor, diffID, chainID }, index) => ({
          digest: descriptor.digest,
          mediaType: descriptor.mediaType,
          size: descriptor.size,
          diffID,
          chainID,
          createdBy: history[index]?.created_by ?? '',
        })),
        size: image.layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0),
      };
    } finally {
      await source.close();
    }
  } catch (error) {
    throwIfAborted(signal, what);
    throw UnpackError.from(error);
  }
}
