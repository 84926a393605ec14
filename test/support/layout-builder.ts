// Writes OCI image layouts out of layer tars. What it writes is right unless a hook changes it: every document can
// be replaced before it is written, and every blob after its descriptor is made.

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import {
  type Descriptor,
  digestOf,
  mediaTypes,
  type Platform,
  parseDigest,
  parsePlatform,
} from '../../src/oci/index.js';

export type LayerCompression = 'none' | 'gzip' | 'zstd';

type Json = Record<string, unknown>;

/** One image of a layout. Hooks may change what they get, or return something else to be written instead. */
export interface LayoutImage {
  /** `org.opencontainers.image.ref.name`; none when left out. */
  tag?: string;
  /** `os/architecture[/variant]`, in the config and the descriptor. Default `linux/amd64`. */
  platform?: string;
  /** False: no platform in the image's descriptor. */
  listPlatform?: boolean;
  /** Tars, bottom first. */
  layers?: readonly Buffer[];
  /** Of all layers, or of each. Default gzip. */
  compression?: LayerCompression | readonly LayerCompression[];
  /** Media types of OCI (default) or of Docker schema 2. */
  kind?: 'oci' | 'docker';
  /** Changes a layer's descriptor. */
  layer?: (descriptor: Descriptor, index: number) => unknown;
  /** Other bytes for a layer's blob, written under the digest of the right ones; undefined: no blob at all. */
  layerBlob?: (blob: Buffer, index: number) => Buffer | undefined;
  config?: (config: Json) => unknown;
  /** Changes the config's descriptor. */
  configDescriptor?: (descriptor: Descriptor) => unknown;
  manifest?: (manifest: Json) => unknown;
  /** Changes the manifest's descriptor in the index. */
  descriptor?: (descriptor: Descriptor & Json) => unknown;
}

export interface LayoutOptions {
  images: readonly LayoutImage[];
  /** Put the images into this many indexes within each other; index.json then names only the outermost. */
  nesting?: number;
  /** Tag of the outermost of the nested indexes. */
  tag?: string;
  /** Changes index.json. */
  index?: (index: Json) => unknown;
  /** Content of the file oci-layout; false: no such file. */
  ociLayout?: unknown;
}

export interface WrittenImage {
  descriptor: Descriptor;
  config: Json;
  manifest: Json;
  /** The compressed layers. */
  blobs: Buffer[];
  layers: Descriptor[];
  diffIDs: string[];
}

export interface WrittenLayout {
  images: WrittenImage[];
  index: Json;
}

/** Writes a layout into a directory, which is made where it is missing. */
export async function writeLayout(
  directory: string,
  options: LayoutOptions,
): Promise<WrittenLayout> {
  await mkdir(directory, { recursive: true });
  const images: WrittenImage[] = [];
  for (const image of options.images) {
    images.push(await writeImage(directory, image));
  }
  let manifests: unknown[] = images.map(({ descriptor }) => descriptor);
  for (let level = 0; level < (options.nesting ?? 0); level++) {
    const nested = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
    const descriptor = await putJson(directory, nested, mediaTypes.ociIndex);
    manifests = [descriptor];
  }
  if (options.nesting !== undefined && options.tag !== undefined) {
    manifests = manifests.map((entry) => ({
      ...(entry as Descriptor),
      annotations: { 'org.opencontainers.image.ref.name': options.tag },
    }));
  }
  const index: Json = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  await putFile(directory, 'index.json', changed(options.index, index));
  if (options.ociLayout !== false) {
    await putFile(directory, 'oci-layout', options.ociLayout ?? { imageLayoutVersion: '1.0.0' });
  }
  return { images, index };
}

async function writeImage(directory: string, image: LayoutImage): Promise<WrittenImage> {
  const docker = image.kind === 'docker';
  const tars = image.layers ?? [];
  const platform = parsePlatform(image.platform ?? 'linux/amd64');
  const blobs: Buffer[] = [];
  const layers: Descriptor[] = [];
  for (const [index, tar] of tars.entries()) {
    const compression = compressionOf(image, index);
    const blob = compress(tar, compression);
    blobs.push(blob);
    const written = image.layerBlob === undefined ? blob : image.layerBlob(blob, index);
    const mediaType = layerTypes[docker ? 'docker' : 'oci'][compression];
    const descriptor = { mediaType, digest: digestOf(blob), size: blob.length };
    if (written !== undefined) {
      await putBlob(directory, written, descriptor.digest);
    }
    layers.push(changed(image.layer && ((it) => image.layer?.(it, index)), descriptor));
  }
  const diffIDs = tars.map((tar) => digestOf(tar));
  const config: Json = changed(image.config, {
    ...platform,
    created: '2024-01-01T00:00:00Z',
    config: { Cmd: ['/bin/sh'] },
    rootfs: { type: 'layers', diff_ids: diffIDs },
    history: tars.map((_, index) => ({ created_by: `layer ${index}` })),
  });
  const configType = docker ? mediaTypes.dockerConfig : mediaTypes.ociConfig;
  const configDescriptor = await putJson(directory, config, configType);
  const manifestType = docker ? mediaTypes.dockerManifest : mediaTypes.ociManifest;
  const manifest: Json = changed(image.manifest, {
    schemaVersion: 2,
    mediaType: manifestType,
    config: changed(image.configDescriptor, configDescriptor),
    layers,
  });
  const listed: Descriptor & Json = { ...(await putJson(directory, manifest, manifestType)) };
  if (image.listPlatform !== false) {
    listed.platform = platform satisfies Platform;
  }
  if (image.tag !== undefined) {
    listed.annotations = { 'org.opencontainers.image.ref.name': image.tag };
  }
  const descriptor: Descriptor = changed(image.descriptor, listed);
  return { descriptor, config, manifest, blobs, layers, diffIDs };
}

function compressionOf({ compression = 'gzip' }: LayoutImage, index: number): LayerCompression {
  return typeof compression === 'string' ? compression : (compression[index] ?? 'gzip');
}

/** Writes a blob, under its own digest or under another one. */
export async function putBlob(
  directory: string,
  bytes: Buffer,
  digest = digestOf(bytes),
): Promise<void> {
  const { algorithm = 'sha256', hex = 'bad' } = parseDigest(digest) ?? {};
  await mkdir(path.join(directory, 'blobs', algorithm), { recursive: true });
  await writeFile(path.join(directory, 'blobs', algorithm, hex), bytes);
}

/** Writes a document as a blob: text and bytes as they are, all else as JSON. */
export async function putJson(
  directory: string,
  document: unknown,
  mediaType: string,
): Promise<Descriptor> {
  const bytes = toJson(document);
  await putBlob(directory, bytes);
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

async function putFile(directory: string, name: string, document: unknown): Promise<void> {
  await writeFile(path.join(directory, name), toJson(document));
}

function toJson(document: unknown): Buffer {
  return Buffer.isBuffer(document)
    ? document
    : Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
}

/** What a hook returns, or what it has changed. */
function changed<Of>(hook: ((value: Of) => unknown) | undefined, value: Of): Of {
  return (hook?.(value) as Of | undefined) ?? value;
}

const layerTypes = {
  oci: {
    none: mediaTypes.ociLayer,
    gzip: mediaTypes.ociLayerGzip,
    zstd: mediaTypes.ociLayerZstd,
  },
  docker: {
    none: mediaTypes.dockerLayer,
    gzip: mediaTypes.dockerLayerGzip,
    zstd: mediaTypes.dockerLayerZstd,
  },
} as const;

/** Compresses a layer; zstd as a frame of raw blocks, since Node 20 cannot compress it. */
export function compress(tar: Buffer, compression: LayerCompression): Buffer {
  switch (compression) {
    case 'none':
      return tar;
    case 'gzip':
      return gzipSync(tar, { level: 1 });
    case 'zstd':
      return zstdStored(tar);
  }
}

/** A zstd frame of raw blocks (RFC 8878 section 3.1.1), with a window of 1 MiB. */
export function zstdStored(data: Buffer): Buffer {
  const blockLimit = 128 * 1024;
  const header = Buffer.alloc(14);
  header.writeUInt32LE(0xfd2fb528, 0);
  header[4] = 0xc0; // A content size of 8 bytes, a window descriptor, no checksum.
  header[5] = 10 << 3; // 2^(10 + 10) bytes.
  header.writeBigUInt64LE(BigInt(data.length), 6);
  const parts: Buffer[] = [header];
  for (let at = 0; at === 0 || at < data.length; at += blockLimit) {
    const block = data.subarray(at, at + blockLimit);
    const last = at + blockLimit >= data.length ? 1 : 0;
    const blockHeader = Buffer.alloc(3);
    blockHeader.writeUIntLE((block.length << 3) | last, 0, 3);
    parts.push(blockHeader, block);
  }
  return Buffer.concat(parts);
}
