// An image as the contenders need it: its reference, where its blobs lie, and how much is in it.

import { open } from 'node:fs/promises';
import { UnpackError } from '../index.js';
import { openImageSource, resolveImage } from '../source/index.js';

/** A layer's blob: `length` bytes of `path`, from `offset` on. */
export interface BenchLayer {
  path: string;
  offset: number;
  length: number;
  digest: string;
  diffID: string;
  /** By the first bytes. */
  compression: 'gzip' | 'zstd' | 'none';
}

export interface BenchImage {
  reference: string;
  manifestDigest: string;
  /** The bytes of the config. */
  config: Buffer;
  /** `os/architecture[/variant]`. */
  platform: string;
  /** Bottom first. */
  layers: BenchLayer[];
  /** Bytes of all blobs. */
  size: number;
}

/** Opens an image for the time of `body`: archives keep their files open meanwhile. */
export async function withBenchImage<T>(
  reference: string,
  body: (image: BenchImage) => Promise<T>,
): Promise<T> {
  const source = await openImageSource(reference);
  try {
    const image = await resolveImage(source, {});
    const layers = await Promise.all(
      image.layers.map(async ({ descriptor, diffID }) => {
        const { path, offset, length } = await source.locateBlob(descriptor);
        const compression = await compressionOf(path, offset, length);
        return { path, offset, length, digest: descriptor.digest, diffID, compression };
      }),
    );
    if (layers.length === 0) {
      const what = `${reference}: an image without layers, of which there is nothing to measure`;
      throw new UnpackError('ERR_INVALID_ARGUMENT', what);
    }
    return await body({
      reference,
      manifestDigest: image.manifestDigest,
      config: await source.readBlob(image.manifest.config),
      platform: image.platform,
      layers,
      size: layers.reduce((sum, { length }) => sum + length, 0),
    });
  } finally {
    await source.close();
  }
}

async function compressionOf(
  file: string,
  offset: number,
  length: number,
): Promise<BenchLayer['compression']> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(4),
      0,
      Math.min(4, length),
      offset,
    );
    const magic = buffer.toString('hex', 0, bytesRead);
    if (magic.startsWith('1f8b')) {
      return 'gzip';
    }
    return magic === '28b52ffd' ? 'zstd' : 'none';
  } finally {
    await handle.close();
  }
}
