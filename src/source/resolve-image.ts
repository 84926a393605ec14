// From the root of an image to all that is needed to unpack it: index, platform, manifest, config, layers, with
// every check that can be made before a layer is read.

import { UnpackError } from '../errors.js';
import {
  chainIDs,
  type Descriptor,
  formatPlatform,
  type ImageConfig,
  type ImageManifest,
  mediaKind,
  parseConfig,
  parseManifest,
  parsePlatform,
  platformRank,
  schema1Error,
} from '../oci/index.js';
import { chooseManifest } from './choose-manifest.js';
import type { ImageDocuments } from './source.js';

/** Options of {@link resolveImage}. */
export interface ResolveOptions {
  /** `os/architecture[/variant]`; default this host's. A single image without an index is taken as it is unless given. */
  platform?: string;
}

/** A layer of an image. */
export interface ResolvedLayer {
  descriptor: Descriptor;
  /** Digest of the uncompressed layer. */
  diffID: string;
  /** Names this layer with all below it. */
  chainID: string;
}

/** An image with everything resolved and checked except the bytes of its layers. */
export interface ResolvedImage {
  reference: string;
  /** What the reference names: an index, or the manifest. */
  root: Descriptor;
  /** What else must be read to get from the root to the manifest: see `ManifestChoice`. */
  consulted: Descriptor[];
  manifestDescriptor: Descriptor;
  manifestDigest: string;
  manifest: ImageManifest;
  configDigest: string;
  config: ImageConfig;
  /** `os/architecture[/variant]` that the image is made for. */
  platform: string;
  /** Bottom first. */
  layers: ResolvedLayer[];
}

/**
 * Resolves an image: reads its index, chooses the platform, reads and checks manifest and config.
 *
 * @throws UnpackError
 */
export async function resolveImage(
  source: ImageDocuments,
  options: ResolveOptions = {},
): Promise<ResolvedImage> {
  const wanted = options.platform === undefined ? undefined : parsePlatform(options.platform);
  const root = await source.resolve();
  const { manifest: chosen, consulted } = await chooseManifest(source, root, wanted);
  const label = `manifest ${chosen.digest}`;
  const manifest = parseManifest(await source.readBlob(chosen), label, chosen.mediaType);
  checkIsImage(manifest, label);
  const configBytes = await source.readBlob(manifest.config);
  const config = parseConfig(configBytes, `config ${manifest.config.digest}`);
  const diffIDs = config.rootfs.diff_ids;
  if (diffIDs.length !== manifest.layers.length) {
    throw new UnpackError(
      'ERR_LAYER_COUNT',
      `${label}: has ${manifest.layers.length} layers, but its config ${manifest.config.digest} has ${diffIDs.length} diff_ids`,
    );
  }
  for (const [index, layer] of manifest.layers.entries()) {
    checkLayer(layer, `${label}: layers[${index}]`);
  }
  const platform = platformOf(config, chosen);
  if (wanted !== undefined && chosen.digest === root.digest && platform !== undefined) {
    if (platformRank(wanted, platform) === undefined) {
      throw new UnpackError(
        'ERR_PLATFORM_NOT_FOUND',
        `${source.reference}: is an image for ${formatPlatform(platform)} only, not for ${formatPlatform(wanted)}`,
      );
    }
  }
  const chain = chainIDs(diffIDs);
  return {
    reference: source.reference,
    root,
    consulted,
    manifestDescriptor: chosen,
    manifestDigest: chosen.digest,
    manifest,
    configDigest: manifest.config.digest,
    config,
    platform: platform === undefined ? 'unknown' : formatPlatform(platform),
    layers: manifest.layers.map((descriptor, index) => ({
      descriptor,
      diffID: diffIDs[index] ?? '',
      chainID: chain[index] ?? '',
    })),
  };
}

/** The config's platform; what it leaves out, the index may say. */
function platformOf(config: ImageConfig, descriptor: Descriptor) {
  const { os, architecture } = config;
  if (os === undefined || architecture === undefined) {
    return descriptor.platform;
  }
  const listed =
    descriptor.platform?.architecture === architecture ? descriptor.platform : undefined;
  const variant = config.variant ?? listed?.variant;
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

/** Refuses artifacts: manifests of things other than images. */
function checkIsImage(manifest: ImageManifest, label: string): void {
  const { mediaType } = manifest.config;
  switch (mediaKind(mediaType)) {
    case 'config':
      return;
    case 'schema1':
      throw schema1Error(label);
    default:
      throw new UnpackError(
        'ERR_UNKNOWN_MEDIA_TYPE',
        `${label}: is not a container image but an artifact of type ${manifest.artifactType ?? mediaType} (its config's media type is ${mediaType})`,
      );
  }
}

function checkLayer({ mediaType, digest }: Descriptor, where: string): void {
  switch (mediaKind(mediaType)) {
    case 'layer':
      return;
    case 'foreign-layer':
      throw new UnpackError(
        'ERR_FOREIGN_LAYER',
        `${where}: layer ${digest} has media type ${mediaType}: it is not distributed with the image and is refused`,
        { layer: digest },
      );
    default: {
      const hint = mediaType.includes('encrypted') ? '; decrypt the image first' : '';
      throw new UnpackError(
        'ERR_UNKNOWN_MEDIA_TYPE',
        `${where}: layer ${digest} has the unknown media type ${mediaType}${hint}`,
        { layer: digest },
      );
    }
  }
}
