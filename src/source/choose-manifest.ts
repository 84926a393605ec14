// Which manifest of an index, or of indexes within indexes, is the one for a platform. Breadth and depth are
// bounded; an index that contains itself cannot exist but for a broken digest, and is refused all the same.

import { UnpackError } from '../errors.js';
import {
  type Descriptor,
  formatPlatform,
  hostPlatform,
  isDigest,
  mediaKind,
  normalizePlatform,
  type Platform,
  parseConfig,
  parseIndex,
  parseManifest,
  platformRank,
  requireKnownDigest,
  schema1Error,
} from '../oci/index.js';
import type { ImageDocuments } from './source.js';

const maxDepth = 8;
const maxManifests = 10_000;
/** Manifests that must be read, because the index does not say their platform. */
const maxUnlisted = 256;

/** Which manifest it is, and what was read to tell. */
export interface ManifestChoice {
  manifest: Descriptor;
  /** Indexes from the root on, and manifests and configs whose platform the index does not say, in the order of reading. */
  consulted: Descriptor[];
}

/**
 * Goes from the root of an image to the manifest for `wanted`. A root that is a manifest is taken as it is. Of an
 * index the best match is taken, the first of equals, without a wish for this host.
 *
 * @throws UnpackError `ERR_PLATFORM_NOT_FOUND` with what there is; `ERR_UNKNOWN_MEDIA_TYPE`, `ERR_INVALID_IMAGE`
 */
export async function chooseManifest(
  source: ImageDocuments,
  root: Descriptor,
  wanted: Platform | undefined,
): Promise<ManifestChoice> {
  requireKnownDigest(root);
  const kind = mediaKind(root.mediaType);
  if (kind === 'manifest') {
    return { manifest: root, consulted: [] };
  }
  if (kind !== 'index') {
    throw notAnImage(root);
  }
  const platform = wanted ?? hostPlatform();
  const search = new IndexSearch(source, platform);
  await search.descend(root, undefined, []);
  return { manifest: search.result(), consulted: search.consulted };
}

interface Candidate {
  descriptor: Descriptor;
  platform: Platform;
  rank: number;
}

/** Collects the manifests below an index. */
class IndexSearch {
  readonly consulted: Descriptor[] = [];
  readonly #source: ImageDocuments;
  readonly #platform: Platform;
  readonly #available = new Set<string>();
  readonly #visited = new Set<string>();
  #best: Candidate | undefined;
  #unknown: Descriptor | undefined;
  #count = 0;
  #unlisted = 0;
  /** What kept a manifest without a platform from being looked at; told only when nothing else fits. */
  #passedOver: UnpackError | undefined;

  constructor(source: ImageDocuments, platform: Platform) {
    this.#source = source;
    this.#platform = platform;
  }

  async descend(
    index: Descriptor,
    inherited: Platform | undefined,
    above: readonly string[],
  ): Promise<void> {
    const label = `index ${index.digest}`;
    if (above.includes(index.digest)) {
      throw new UnpackError('ERR_INVALID_IMAGE', `${label}: contains itself`);
    }
    if (above.length >= maxDepth) {
      throw new UnpackError(
        'ERR_LIMIT_EXCEEDED',
        `${label}: lies deeper than ${maxDepth} indexes within each other`,
      );
    }
    if (this.#visited.has(index.digest)) {
      return;
    }
    this.#visited.add(index.digest);
    const bytes = await this.#source.readBlob(index);
    const { manifests } = parseIndex(bytes, label, index.mediaType);
    this.consulted.push(index);
    this.#count += manifests.length;
    if (this.#count > maxManifests) {
      throw new UnpackError(
        'ERR_LIMIT_EXCEEDED',
        `${label}: has more than ${maxManifests} manifests`,
      );
    }
    for (const descriptor of manifests) {
      const platform = descriptor.platform ?? inherited;
      const kind = mediaKind(descriptor.mediaType);
      if (!isDigest(descriptor.digest)) {
        this.#passUnknown(descriptor, platform);
      } else if (kind === 'index') {
        if (platform === undefined || this.#rank(platform) !== undefined) {
          await this.descend(descriptor, platform, [...above, index.digest]);
        } else {
          this.#available.add(formatPlatform(normalizePlatform(platform)));
        }
      } else if (kind === 'manifest') {
        await this.#consider(descriptor, platform);
      } else {
        this.#passedOver ??= notAnImage(descriptor);
      }
    }
  }

  result(): Descriptor {
    if (this.#best !== undefined) {
      const { descriptor, platform } = this.#best;
      return { ...descriptor, platform };
    }
    if (this.#unknown !== undefined) {
      requireKnownDigest(this.#unknown);
    }
    if (this.#available.size === 0 && this.#passedOver !== undefined) {
      throw this.#passedOver;
    }
    const available = [...this.#available].sort();
    const list = available.length === 0 ? 'no image at all' : available.join(', ');
    throw new UnpackError(
      'ERR_PLATFORM_NOT_FOUND',
      `${this.#source.reference}: has no image for ${formatPlatform(this.#platform)}; it has ${list}`,
    );
  }

  /** Of an algorithm that is not known here: told when it is what was wanted and nothing else fits. */
  #passUnknown(descriptor: Descriptor, platform: Platform | undefined): void {
    const fits = platform === undefined || this.#rank(platform) !== undefined;
    if (fits && !isAttestation(descriptor)) {
      this.#unknown ??= descriptor;
    }
  }

  async #consider(descriptor: Descriptor, listed: Platform | undefined): Promise<void> {
    if (isAttestation(descriptor)) {
      return;
    }
    let platform = listed;
    if (platform === undefined) {
      if (this.#visited.has(descriptor.digest)) {
        return;
      }
      this.#visited.add(descriptor.digest);
      if (++this.#unlisted > maxUnlisted) {
        throw new UnpackError(
          'ERR_LIMIT_EXCEEDED',
          `${this.#source.reference}: has more than ${maxUnlisted} manifests without a platform`,
        );
      }
      try {
        platform = await this.#platformFromConfig(descriptor);
      } catch (error) {
        this.#passedOver ??= UnpackError.from(error);
        return;
      }
    }
    this.#available.add(formatPlatform(normalizePlatform(platform)));
    const rank = this.#rank(platform);
    if (rank !== undefined && (this.#best === undefined || rank < this.#best.rank)) {
      this.#best = { descriptor, platform, rank };
    }
  }

  /** As containerd does for indexes that say nothing: the config knows. */
  async #platformFromConfig(descriptor: Descriptor): Promise<Platform> {
    const label = `manifest ${descriptor.digest}`;
    const bytes = await this.#source.readBlob(descriptor);
    const { config } = parseManifest(bytes, label, descriptor.mediaType);
    if (mediaKind(config.mediaType) !== 'config') {
      throw new UnpackError(
        'ERR_UNKNOWN_MEDIA_TYPE',
        `${label}: is not a container image but an artifact (its config's media type is ${config.mediaType})`,
      );
    }
    const image = parseConfig(await this.#source.readBlob(config), `config ${config.digest}`);
    this.consulted.push(descriptor, config);
    const { os, architecture, variant } = image;
    if (os === undefined || architecture === undefined) {
      throw new UnpackError(
        'ERR_INVALID_IMAGE',
        `config ${config.digest}: os and architecture are missing, and the index does not say them`,
      );
    }
    return { os, architecture, ...(variant !== undefined && { variant }) };
  }

  #rank(platform: Platform): number | undefined {
    return platformRank(this.#platform, platform);
  }
}

/** BuildKit's provenance and SBOM manifests, listed beside the images they are about. */
function isAttestation({ platform, annotations }: Descriptor): boolean {
  const type = annotations?.['vnd.docker.reference.type'];
  return (
    type === 'attestation-manifest' ||
    (platform?.os === 'unknown' && platform.architecture === 'unknown')
  );
}

function notAnImage({ mediaType, digest }: Descriptor): UnpackError {
  return mediaKind(mediaType) === 'schema1'
    ? schema1Error(`manifest ${digest}`)
    : new UnpackError(
        'ERR_UNKNOWN_MEDIA_TYPE',
        `${digest}: has media type ${mediaType}, which is neither an image manifest nor an index`,
      );
}
