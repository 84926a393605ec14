// Images by name, read back from the content of the store.

import { UnpackError } from '../errors.js';
import type { Image, ImageStore } from '../metadata/index.js';
import type { Descriptor } from '../oci/index.js';
import { normalizeImageName } from '../oci/reference.js';
import type { ImageDocuments, ResolvedImage } from '../source/index.js';
import type { StoreContext } from './context.js';

/** Of an image: the platform that it was imported for, where one was asked for. */
export const platformLabel = 'oci-unpack.io/platform';

/** The shortest part of a digest that names an image. */
const shortestDigest = 6;

/**
 * The image `name`: by its name, with `:latest`, in Docker's full form, by the end of it where that is
 * one image's alone, or by its target's digest or the beginning of that.
 *
 * @throws UnpackError `ERR_STORE_NOT_FOUND`; `ERR_AMBIGUOUS_REFERENCE` where a part of a digest names several
 */
export function findImage(images: ImageStore, name: string): Image {
  for (const candidate of [name, `${name}:latest`, normalizeImageName(name)]) {
    const image = candidate === undefined || candidate === '' ? undefined : find(images, candidate);
    if (image !== undefined) {
      return image;
    }
  }
  const fitting = images.list().filter((image) => isNamed(image.name, name));
  if (fitting.length > 0) {
    return theOne(fitting, name);
  }
  const hex = name.replace(/^sha(?:256|512):/, '');
  if (hex.length >= shortestDigest && /^[0-9a-f]+$/.test(hex)) {
    const ofDigest = images
      .list()
      .filter(({ target: { digest } }) => digest.slice(digest.indexOf(':') + 1).startsWith(hex));
    if (ofDigest.length > 0) {
      return theOne(ofDigest, name);
    }
  }
  throw new UnpackError(
    'ERR_STORE_NOT_FOUND',
    `image ${JSON.stringify(name)}: is not in the store`,
  );
}

/** Whether `short` is all that follows the registry and the first parts of the path. */
function isNamed(full: string, short: string): boolean {
  return short !== '' && (full.endsWith(`/${short}`) || full.endsWith(`/${short}:latest`));
}

function theOne(fitting: readonly Image[], name: string): Image {
  if (new Set(fitting.map(({ target }) => target.digest)).size > 1) {
    const names = fitting.map((image) => image.name).join(', ');
    throw new UnpackError('ERR_AMBIGUOUS_REFERENCE', `image ${name}: may be ${names}`);
  }
  return fitting[0] as Image;
}

/** A name that cannot be one is that of no image. */
function find(images: ImageStore, name: string): Image | undefined {
  try {
    return images.find(name);
  } catch {
    return undefined;
  }
}

/**
 * Reads manifest and config of an image of the store.
 *
 * @throws UnpackError `ERR_BLOB_NOT_FOUND` where content has been removed, and what {@link resolveImage} throws
 */
export async function readImage(
  context: StoreContext,
  image: Image,
  options: { platform?: string | undefined } = {},
): Promise<ResolvedImage> {
  const platform = options.platform ?? image.labels[platformLabel];
  const { resolveImage } = await import('../source/index.js');
  return resolveImage(documentsOf(context, image.name, image.target), { platform });
}

function documentsOf(context: StoreContext, name: string, target: Descriptor): ImageDocuments {
  return {
    reference: name,
    resolve: async () => target,
    readBlob: (descriptor) => context.content.readBlob(descriptor),
  };
}
