// The image that shows the bug: one layer replaces a directory, the next one adds a file to it. A base below them is what
// the replaced directory comes from; without three directories the old kernels had nothing to confuse.

import { mediaTypes } from '../oci/index.js';
import { makeBlobsDirectory, writeBlob, writeLayout } from '../source/write-layout.js';
import { type TarEntry, writeTar } from './tar.js';

/** A layer: what it is for, and its tar, entry by entry. */
export interface ExplainedLayer {
  name: string;
  /** A line of a Dockerfile that would make it. */
  made: string;
  entries: TarEntry[];
}

/** The directory that it is all about. */
export const replacedDirectory = 'app/plugins';

/** Bottom first. */
export const explainedLayers: readonly ExplainedLayer[] = [
  {
    name: 'base',
    made: 'COPY plugins /app/plugins',
    entries: [
      { type: 'directory', path: 'app' },
      { type: 'directory', path: 'app/plugins' },
      { type: 'file', path: 'app/plugins/legacy', content: 'legacy\n' },
    ],
  },
  {
    name: 'replace',
    made: 'RUN rm -r /app/plugins && install-plugins auth cache',
    entries: [
      { type: 'directory', path: 'app' },
      { type: 'file', path: 'app/.wh.plugins', content: '' },
      { type: 'directory', path: 'app/plugins' },
      { type: 'file', path: 'app/plugins/auth', content: 'auth\n' },
      { type: 'file', path: 'app/plugins/cache', content: 'cache\n' },
    ],
  },
  {
    name: 'add',
    made: 'RUN install-plugins metrics',
    entries: [
      { type: 'directory', path: 'app' },
      { type: 'directory', path: 'app/plugins' },
      { type: 'file', path: 'app/plugins/metrics', content: 'metrics\n' },
    ],
  },
];

/** What a container of the image has to see, sorted. */
export const expectedTree: readonly string[] = [
  'app',
  'app/plugins',
  'app/plugins/auth',
  'app/plugins/cache',
  'app/plugins/metrics',
];

/** The tag in the layout. */
export const imageTag = 'opaque';

/** Writes the image as an OCI layout; returns its reference. */
export async function writeExplainedImage(directory: string): Promise<string> {
  const blobs = await makeBlobsDirectory(directory);
  const layers = await Promise.all(
    explainedLayers.map(async ({ entries, made }) => {
      const descriptor = await writeBlob(blobs, mediaTypes.ociLayer, writeTar(entries));
      return { descriptor, diffID: descriptor.digest, createdBy: made };
    }),
  );
  return writeLayout(directory, layers, imageTag);
}
