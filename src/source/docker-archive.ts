// Archives of `docker save` (and of skopeo, kaniko, Bazel, which write the same): manifest.json names configs and
// layers by their paths. There are no descriptors, so a Docker schema 2 manifest is made from what is there.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { UnpackError } from '../errors.js';
import {
  type Descriptor,
  digestOf,
  type JsonReader,
  mediaTypes,
  normalizeImageName,
  parseConfig,
  parseDigest,
  parseJsonArray,
} from '../oci/index.js';
import { ambiguous, type Entry, matchingEntries } from './choose-entry.js';
import { detectCompression, longestMagic } from './compression.js';
import {
  checkDigest,
  checkDocumentSize,
  checkLocation,
  type ImageFiles,
  readDocument,
} from './image-files.js';
import { formatSourceReference, type SourceReference } from './parse-reference.js';
import type { BlobLocation, ImageSource, Transport } from './source.js';

/** Transport `docker-archive`. */
export class DockerArchiveSource implements ImageSource {
  readonly reference: string;
  readonly transport: Transport = 'docker-archive';
  readonly #files: ImageFiles;
  readonly #parsed: SourceReference;
  readonly #signal: AbortSignal | undefined;
  readonly #documents = new Map<string, Buffer>();
  readonly #located = new Map<string, Located>();
  #root: Promise<Descriptor> | undefined;

  constructor(files: ImageFiles, reference: SourceReference, signal?: AbortSignal) {
    this.reference = formatSourceReference(reference);
    this.#files = files;
    this.#parsed = reference;
    this.#signal = signal;
  }

  resolve(): Promise<Descriptor> {
    this.#root ??= this.#makeManifest();
    return this.#root;
  }

  async readBlob(descriptor: Descriptor): Promise<Buffer> {
    checkDocumentSize(descriptor.size, `${descriptor.mediaType} ${descriptor.digest}`);
    await this.resolve();
    const document = this.#documents.get(descriptor.digest);
    if (document !== undefined) {
      return document;
    }
    const bytes = await this.#files.read(await this.locateBlob(descriptor));
    checkDigest(this.#files, descriptor, bytes);
    return bytes;
  }

  async locateBlob(descriptor: Descriptor): Promise<BlobLocation> {
    await this.resolve();
    const located = this.#located.get(descriptor.digest);
    const path = located?.member ?? descriptor.digest;
    return checkLocation(this.#files, descriptor, path, located?.location);
  }

  close(): Promise<void> {
    return this.#files.close();
  }

  async #makeManifest(): Promise<Descriptor> {
    const image = await this.#chooseImage();
    const configBytes = await this.#readConfig(image.config);
    const config: Descriptor = {
      mediaType: mediaTypes.dockerConfig,
      digest: digestOf(configBytes),
      size: configBytes.length,
    };
    checkConfigName(image.config, config.digest, this.#files.name);
    this.#documents.set(config.digest, configBytes);
    const { diff_ids: diffIDs } = parseConfig(configBytes, `config ${config.digest}`).rootfs;
    if (diffIDs.length !== image.layers.length) {
      throw new UnpackError(
        'ERR_LAYER_COUNT',
        `${this.#files.name}: manifest.json has ${image.layers.length} layers, but ${image.config} has ${diffIDs.length} diff_ids`,
      );
    }
    const layers: Descriptor[] = [];
    for (const [index, diffID] of diffIDs.entries()) {
      layers.push(await this.#layer(image.layers[index] ?? '', diffID));
    }
    const manifest = { schemaVersion: 2, mediaType: mediaTypes.dockerManifest, config, layers };
    const bytes = Buffer.from(JSON.stringify(manifest));
    const digest = digestOf(bytes);
    this.#documents.set(digest, bytes);
    return { mediaType: mediaTypes.dockerManifest, digest, size: bytes.length };
  }

  async #chooseImage(): Promise<ArchiveImage> {
    const where = this.#files.name;
    const bytes = await readDocument(this.#files, 'manifest.json');
    if (bytes === undefined) {
      const isLayout = (await this.#files.locate('oci-layout')) !== undefined;
      const hint = isLayout ? `; it is an OCI layout: use oci-archive:${this.#parsed.path}` : '';
      throw new UnpackError(
        'ERR_INVALID_IMAGE',
        `${where}: is no docker archive: manifest.json is missing${hint}`,
        { path: where },
      );
    }
    const images = parseJsonArray(bytes, `${where}: manifest.json`).map(readImage);
    const fitting = matchingEntries(images, this.#parsed.selector, where);
    const [first] = fitting;
    if (first === undefined || fitting.length > 1) {
      throw ambiguous(images, fitting, where);
    }
    return first;
  }

  async #readConfig(member: string): Promise<Buffer> {
    const bytes = await readDocument(this.#files, member);
    if (bytes === undefined) {
      throw missing(this.#files.name, member, 'config');
    }
    return bytes;
  }

  /** A descriptor for a layer, and where it lies. */
  async #layer(member: string, diffID: string): Promise<Descriptor> {
    const location = await this.#files.locate(member);
    if (location === undefined) {
      throw missing(this.#files.name, member, 'layer');
    }
    const head = await this.#files.read(location, Math.min(longestMagic, location.length));
    const compression = detectCompression(head);
    const plain = compression === 'none' && location.length > 0;
    // The bytes are checked against the digest when they are unpacked: a name that lies is found out then.
    const digest = digestInName(member) ?? (plain ? diffID : await this.#hash(location, member));
    this.#located.set(digest, { member, location });
    return {
      mediaType: layerTypes[compression] ?? mediaTypes.dockerLayer,
      digest,
      size: location.length,
    };
  }

  /** The sha256 of a compressed layer, whose digest nothing else tells. */
  async #hash(location: BlobLocation, member: string): Promise<string> {
    const known = [...this.#located].find(
      ([, { location: other }]) =>
        other.offset === location.offset && other.length === location.length,
    );
    if (known !== undefined) {
      return known[0];
    }
    const { path, offset: start, length } = location;
    if (length === 0) {
      return digestOf('');
    }
    const hash = createHash('sha256');
    const input = createReadStream(path, {
      start,
      end: start + length - 1,
      highWaterMark: 1024 * 1024,
    });
    try {
      await pipeline(input, hash, this.#signal === undefined ? {} : { signal: this.#signal });
    } catch (error) {
      throw UnpackError.fromSystem(error, `${this.#files.name}: ${member}`);
    }
    return `sha256:${hash.digest('hex')}`;
  }
}

interface Located {
  member: string;
  location: BlobLocation;
}

interface ArchiveImage extends Entry {
  config: string;
  /** Bottom first. */
  layers: string[];
}

const layerTypes: Readonly<Partial<Record<string, string>>> = {
  gzip: mediaTypes.dockerLayerGzip,
  zstd: mediaTypes.dockerLayerZstd,
};

function readImage(json: JsonReader): ArchiveImage {
  const names = json.optionalStrings('RepoTags') ?? [];
  const full = names.map(normalizeImageName);
  return {
    names,
    isAlso: (name) => full.includes(normalizeImageName(name)),
    config: json.string('Config'),
    layers: json.optionalStrings('Layers') ?? [],
  };
}

/** `blobs/sha256/HEX`, the members' names since Docker 25. */
function digestInName(member: string): string | undefined {
  const match = /^blobs\/([a-z0-9]+)\/([0-9a-f]+)$/.exec(member);
  const digest = `${match?.[1]}:${match?.[2]}`;
  return parseDigest(digest) === undefined ? undefined : digest;
}

/** A config is called by its sha256, in one of the notations of Docker, kaniko and skopeo; others mean nothing. */
function checkConfigName(member: string, digest: string, where: string): void {
  const hex = /^(?:blobs\/sha256\/|sha256:)?([0-9a-f]{64})(?:\.json)?$/.exec(member)?.[1];
  if (hex !== undefined && digest !== `sha256:${hex}`) {
    throw new UnpackError(
      'ERR_DIGEST_MISMATCH',
      `${where}: ${member}: the config has other content (${digest}) than its name says`,
      { path: member },
    );
  }
}

function missing(where: string, member: string, what: string): UnpackError {
  return new UnpackError(
    'ERR_BLOB_NOT_FOUND',
    `${where}: the ${what} ${member}, which manifest.json names, is missing`,
    { path: member },
  );
}
