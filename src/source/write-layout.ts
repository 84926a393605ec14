// Writes small images as OCI layouts (image-spec image-layout.md): the documents around layers, and blobs that are in memory.

import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Descriptor, hostPlatform, mediaTypes } from '../oci/index.js';

/** Where the blobs of a layout lie; made. */
export async function makeBlobsDirectory(layout: string): Promise<string> {
  const blobs = path.join(layout, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  return blobs;
}

/** Writes a blob. */
export async function writeBlob(
  blobs: string,
  mediaType: string,
  bytes: Buffer,
): Promise<Descriptor> {
  const hex = createHash('sha256').update(bytes).digest('hex');
  await writeFile(path.join(blobs, hex), bytes);
  return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
}

/** A layer whose blob is there. */
export interface WrittenLayer {
  descriptor: Descriptor;
  diffID: string;
  /** What made it. */
  createdBy: string;
}

/** Writes config, manifest and index of an image for this host. @returns its reference, `oci:PATH:TAG` */
export async function writeLayout(
  layout: string,
  layers: readonly WrittenLayer[],
  tag: string,
): Promise<string> {
  const blobs = await makeBlobsDirectory(layout);
  const writeJson = (mediaType: string, value: unknown) =>
    writeBlob(blobs, mediaType, Buffer.from(JSON.stringify(value)));
  const config = await writeJson(mediaTypes.ociConfig, {
    ...hostPlatform(),
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffID }) => diffID) },
    history: layers.map(({ createdBy }) => ({ created_by: createdBy })),
  });
  const manifest = await writeJson(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config,
    layers: layers.map(({ descriptor }) => descriptor),
  });
  const annotations = { 'org.opencontainers.image.ref.name': tag };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  await writeFile(path.join(layout, 'index.json'), JSON.stringify(index));
  await writeFile(path.join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return `oci:${layout}:${tag}`;
}
