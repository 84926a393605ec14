// An image as the contenders need it: its reference, where its blobs lie, and how much is in it.

import { openImageSource, resolveImage } from '../source/index.js';

/** A layer's blob: `length` bytes of `path`, from `offset` on. */
export interface BenchLayer {
  path: string;
  offset: number;
  length: number;
  digest: string;
  diffID: string;
}

export interface BenchImage {
  reference: string;
  manifestDigest: string;
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
      image.layers.map(async ({ descriptor, diffID }) => ({
        ...(await source.locateBlob(descriptor)),
        digest: descriptor.digest,
        diffID,
      })),
    );
    return await body({
      reference,
      manifestDigest: image.manifestDigest,
      layers,
      size: layers.reduce((sum, { length }) => sum + length, 0),
    });
  } finally {
    await source.close();
  }
}
