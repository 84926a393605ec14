// Makes an OCI layout of layers that are given as entries.

import { type LayerCompression, writeLayout } from './layout-builder.js';
import { type TarItem, tar } from './tar-builder.js';

/** A layer as entries, or the bytes of its tar. */
export type Layer = readonly TarItem[] | Buffer;

/** Of the images that are written here. */
export const platform = 'linux/amd64';

/** Writes the layers as an image into `directory`, compressed in these ways by turns; the reference to it. */
export async function writeImage(
  directory: string,
  layers: readonly Layer[],
  compressions: readonly LayerCompression[] = ['none', 'gzip', 'zstd'],
): Promise<string> {
  const tars = layers.map((layer) => (Buffer.isBuffer(layer) ? layer : tar(layer)));
  const compression = layers.map((_, i) => compressions[i % compressions.length] ?? 'none');
  await writeLayout(directory, {
    images: [{ tag: 'latest', platform, layers: tars, compression }],
  });
  return `oci:${directory}:latest`;
}
