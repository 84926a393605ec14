// The image that shows the bug: one layer replaces a directory, the next one adds a file to it. A base below them is what
// the replaced directory comes from; without three directories the old kernels had nothing to confuse.

import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { hostPlatform, mediaTypes } from '../oci/index.js';
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
  const blobs = path.join(directory, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  const add = async (mediaType: string, bytes: Buffer) => {
    const digest = createHash('sha256').update(bytes).digest('hex');
    await writeFile(path.join(blobs, digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  };
  const addJson = (mediaType: string, value: unknown) =>
    add(mediaType, Buffer.from(JSON.stringify(value)));

  const layers = await Promise.all(
    explainedLayers.map(({ entries }) => add(mediaTypes.ociLayer, writeTar(entries))),
  );
  const config = await addJson(mediaTypes.ociConfig, {
    ...hostPlatform(),
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    history: explainedLayers.map(({ made }) => ({ created_by: made })),
  });
  const manifest = await addJson(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config,
    layers,
  });
  const annotations = { 'org.opencontainers.image.ref.name': imageTag };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  await writeFile(path.join(directory, 'index.json'), JSON.stringify(index));
  await writeFile(path.join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return `oci:${directory}:${imageTag}`;
}
