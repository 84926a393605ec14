// An image as a plain OCI layout with one manifest, tag `latest`: what peers that read images can be given, wherever
// it came from. Blobs are symlinks to where they lie, unless they are part of an archive.

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { BenchImage, BenchLayer } from './image.js';

export interface PlainLayout {
  directory: string;
  /** Digest of its manifest. */
  manifestDigest: string;
}

const suffixes = { gzip: '+gzip', zstd: '+zstd', none: '' };

/** Writes the layout to `directory`, which is created; `link: false` copies the blobs. */
export async function writePlainLayout(
  image: BenchImage,
  directory: string,
  { link = true }: { link?: boolean } = {},
): Promise<PlainLayout> {
  const blobs = path.join(directory, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  for (const layer of image.layers) {
    await placeBlob(layer, path.join(blobs, hexOf(layer.digest)), link);
  }
  const config = await writeBlob(blobs, image.config);
  const manifest = await writeBlob(
    blobs,
    json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: image.layers.map(({ digest, length, compression }) => ({
        mediaType: `application/vnd.oci.image.layer.v1.tar${suffixes[compression]}`,
        digest,
        size: length,
      })),
    }),
  );
  const [os, architecture, variant] = image.platform.split('/');
  const descriptor = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
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

async function writeBlob(blobs: string, bytes: Buffer): Promise<{ digest: string; size: number }> {
  const hex = createHash('sha256').update(bytes).digest('hex');
  await writeFile(path.join(blobs, hex), bytes);
  return { digest: `sha256:${hex}`, size: bytes.length };
}

function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1);
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
