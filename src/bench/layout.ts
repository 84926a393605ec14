// An image as a plain OCI layout with one manifest, tag `latest`: what peers that read images can be given, wherever
// it came from. Blobs are symlinks to where they lie, unless they are part of an archive.

import { createReadStream, createWriteStream } from 'node:fs';
import { stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { mediaTypes } from '../oci/index.js';
import { makeBlobsDirectory, writeBlob } from '../source/write-layout.js';
import type { BenchImage, BenchLayer } from './image.js';

export interface PlainLayout {
  directory: string;
  /** Digest of its manifest. */
  manifestDigest: string;
}

const layerTypes = {
  gzip: mediaTypes.ociLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
  none: mediaTypes.ociLayer,
};

/** Writes the layout to `directory`, which is created; `link: false` copies the blobs. */
export async function writePlainLayout(
  image: BenchImage,
  directory: string,
  { link = true }: { link?: boolean } = {},
): Promise<PlainLayout> {
  const blobs = await makeBlobsDirectory(directory);
  for (const layer of image.layers) {
    await placeBlob(layer, path.join(blobs, hexOf(layer.digest)), link);
  }
  const config = await writeBlob(blobs, mediaTypes.ociConfig, image.config);
  const manifest = await writeBlob(
    blobs,
    mediaTypes.ociManifest,
    json({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config,
      layers: image.layers.map(({ digest, length, compression }) => ({
        mediaType: layerTypes[compression],
        digest,
        size: length,
      })),
    }),
  );
  const [os, architecture, variant] = image.platform.split('/');
  const descriptor = {
    ...manifest,
    platform: { os, architecture, ...(variant !== undefined && { variant }) },
    annotations: {
      'org.opencontainers.image.ref.name': 'latest',
      'io.containerd.image.name': 'bench.invalid/image:latest',
    },
  };
  await writeFile(
    path.join(directory, 'index.json'),
    json({ schemaVersion: 2, manifests: [descriptor] }),
  );
  await writeFile(path.join(directory, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
  return { directory, manifestDigest: manifest.digest };
}

async function placeBlob(layer: BenchLayer, file: string, link: boolean): Promise<void> {
  const { path: from, offset, length } = layer;
  const whole = offset === 0 && (await stat(from)).size === length;
  if (whole && link) {
    await symlink(from, file).catch(ignoreExisting); // a layer may come twice
    return;
  }
  const window = { start: offset, end: Math.max(offset + length - 1, 0) };
  await pipeline(createReadStream(from, window), createWriteStream(file));
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') {
    throw error;
  }
}

function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1);
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
