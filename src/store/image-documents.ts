// The documents of an image (config, manifest, indexes) with what garbage collection must know of them, and their way
// into the content store.

import type { ContentStore } from '../content/index.js';
import { gcLabels } from '../metadata/index.js';
import { type Descriptor, mediaKind, parseIndex } from '../oci/index.js';
import type { ResolvedImage } from '../source/index.js';

/** An index, manifest or config: small, and read already. */
export interface ImageDocument {
  descriptor: Descriptor;
  bytes: Buffer;
  /** What garbage collection must know. */
  labels: Record<string, string>;
}

type Read = (descriptor: Descriptor) => Promise<Buffer>;

/**
 * Config, manifest, and the indexes above it, those that are referred to first.
 *
 * @param keepLayers the manifest holds its layers' blobs; default true
 */
export async function readDocuments(
  image: ResolvedImage,
  read: Read,
  { keepLayers = true }: { keepLayers?: boolean } = {},
): Promise<ImageDocument[]> {
  const { root, manifest, manifestDescriptor } = image;
  const labels: Record<string, string> = {
    [`${gcLabels.refContent}.config`]: manifest.config.digest,
  };
  if (keepLayers) {
    for (const [index, { digest }] of manifest.layers.entries()) {
      labels[`${gcLabels.refContent}.l.${index}`] = digest;
    }
  }
  const documents: ImageDocument[] = [
    { descriptor: manifest.config, bytes: await read(manifest.config), labels: {} },
    { descriptor: manifestDescriptor, bytes: await read(manifestDescriptor), labels },
  ];
  if (root.digest !== manifestDescriptor.digest) {
    await readIndex(root, image.manifestDigest, read, documents);
  }
  return documents;
}

/** Adds the index when the manifest is below it. */
async function readIndex(
  descriptor: Descriptor,
  manifestDigest: string,
  read: Read,
  documents: ImageDocument[],
): Promise<boolean> {
  const bytes = await read(descriptor);
  const labels: Record<string, string> = {};
  const { manifests } = parseIndex(bytes, `index ${descriptor.digest}`, descriptor.mediaType);
  for (const [index, child] of manifests.entries()) {
    const isWanted =
      mediaKind(child.mediaType) === 'index'
        ? await readIndex(child, manifestDigest, read, documents)
        : child.digest === manifestDigest;
    if (isWanted) {
      // By its place in the index, so that other platforms add theirs when they are imported.
      labels[`${gcLabels.refContent}.m.${index}`] = child.digest;
    }
  }
  const found = Object.keys(labels).length > 0;
  if (found && !documents.some((known) => known.descriptor.digest === descriptor.digest)) {
    documents.push({ descriptor, bytes, labels });
  }
  return found;
}

/** Writes a document, or merges its labels into one that is there; whether it is new. */
export async function ingestDocument(
  content: ContentStore,
  { descriptor, bytes, labels }: ImageDocument,
  lease: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { digest, size, mediaType } = descriptor;
  const isNew = (await content.find(digest)) === undefined;
  const ref = `${mediaKind(mediaType)}-${digest}`;
  await content.ingest(ref, [bytes], { digest, size, labels, lease, signal });
  return isNew;
}
