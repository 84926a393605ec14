// The documents of an image (config, manifest, indexes) with what garbage collection must know of them, and their way
// into the content store.

import type { ContentStore } from '../content/index.js';
import { gcLabels } from '../metadata/index.js';
import {
  type Descriptor,
  type ImageManifest,
  mediaKind,
  parseIndex,
  parseManifest,
} from '../oci/index.js';
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
 * Config and manifest, and what had to be read to choose them: without that the image could not be read from the store
 * alone. Those that are referred to come first.
 *
 * @param keepLayers the manifest holds its layers' blobs; default true
 */
export async function readDocuments(
  image: ResolvedImage,
  read: Read,
  { keepLayers = true }: { keepLayers?: boolean } = {},
): Promise<ImageDocument[]> {
  const { manifest, manifestDescriptor, consulted } = image;
  const documents = new Map<string, ImageDocument>();
  const add = async (descriptor: Descriptor, labels: Record<string, string> = {}) => {
    if (!documents.has(descriptor.digest)) {
      documents.set(descriptor.digest, { descriptor, bytes: await read(descriptor), labels });
    }
  };
  await add(manifest.config);
  const layers = keepLayers ? manifest.layers : [];
  await add(manifestDescriptor, {
    ...configLabel(manifest),
    ...Object.fromEntries(
      layers.map(({ digest }, index) => [`${gcLabels.refContent}.l.${index}`, digest]),
    ),
  });
  const kept = new Set([manifestDescriptor, ...consulted].map(({ digest }) => digest));
  for (const descriptor of consulted.toReversed()) {
    await add(descriptor, references(descriptor, await read(descriptor), kept));
  }
  return [...documents.values()];
}

function configLabel({ config }: Pick<ImageManifest, 'config'>): Record<string, string> {
  return { [`${gcLabels.refContent}.config`]: config.digest };
}

/** What a document that was consulted holds; of an index, what of its manifests is `kept`. */
function references(
  { digest, mediaType }: Descriptor,
  bytes: Buffer,
  kept: ReadonlySet<string>,
): Record<string, string> {
  switch (mediaKind(mediaType)) {
    case 'manifest': // of another platform: without its layers
      return configLabel(parseManifest(bytes, `manifest ${digest}`, mediaType));
    case 'index': {
      const { manifests } = parseIndex(bytes, `index ${digest}`, mediaType);
      // By its place in the index, so that other platforms add theirs when they are imported.
      const labels = manifests.map((child, index) => [
        `${gcLabels.refContent}.m.${index}`,
        child.digest,
      ]);
      return Object.fromEntries(labels.filter(([, child]) => kept.has(child ?? '')));
    }
    default:
      return {};
  }
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
