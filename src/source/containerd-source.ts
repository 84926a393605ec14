// An image of a containerd's store, `containerd:[NAMESPACE@ROOT]NAME`: the databases say what the image's root is, the
// blobs lie in the content store, laid out as in an OCI layout. Only read; containerd may run.

import {
  type ContainerdImage,
  ContainerdStore,
  defaultContainerdNamespace,
  defaultContainerdRoot,
} from '../containerd/index.js';
import { UnpackError } from '../errors.js';
import { type Descriptor, normalizeImageName } from '../oci/index.js';
import { DirectoryFiles } from './directory-files.js';
import { type ImageFiles, locateLayoutBlob, readLayoutBlob } from './image-files.js';
import { invalidReference } from './parse-reference.js';
import type { BlobLocation, ImageSource, Transport } from './source.js';

/** What containerd itself writes on an image that it exports; `import` names the image by it. */
const nameAnnotation = 'io.containerd.image.name';
/** At most this many names in a message. */
const maxListed = 20;

/** A reference taken apart; what it leaves out comes from the environment, then containerd's defaults. */
export interface ContainerdReference {
  namespace: string;
  root: string;
  name: string;
}

/**
 * Parses `containerd:NAME` or `containerd:[NAMESPACE@ROOT]NAME`, where in the brackets `@ROOT` or NAMESPACE may be left
 * out. The environment's CONTAINERD_NAMESPACE and CONTAINERD_ROOT hold for what is left out.
 *
 * @throws UnpackError `ERR_INVALID_REFERENCE`
 */
export function parseContainerdReference(
  text: string,
  environment: NodeJS.ProcessEnv = process.env,
): ContainerdReference {
  const rest = text.slice('containerd:'.length);
  const match = /^(?:\[([^\]@]*)(?:@([^\]]+))?\])?([^[].*)$/s.exec(rest);
  if (match === null) {
    throw invalidReference(
      text,
      rest === '' || rest.endsWith(']')
        ? 'has no image name'
        : 'has a malformed [NAMESPACE@ROOT] before the name',
    );
  }
  const [, namespace = '', root = '', name = ''] = match;
  if (text.includes('\0')) {
    throw invalidReference(text, 'contains a NUL');
  }
  return {
    namespace: namespace || environment.CONTAINERD_NAMESPACE || defaultContainerdNamespace,
    root: root || environment.CONTAINERD_ROOT || defaultContainerdRoot,
    name,
  };
}

/** Transport `containerd`. */
export class ContainerdSource implements ImageSource {
  readonly reference: string;
  readonly transport: Transport = 'containerd';
  readonly #files: ImageFiles;
  readonly #root: Descriptor;

  private constructor(reference: string, files: ImageFiles, image: ContainerdImage) {
    this.reference = reference;
    this.#files = files;
    const { annotations } = image.target;
    this.#root = { ...image.target, annotations: { ...annotations, [nameAnnotation]: image.name } };
  }

  /**
   * Looks the image up. A name that is not there as it is written is completed as Docker's are: `debian` also finds
   * `docker.io/library/debian:latest`.
   *
   * @throws UnpackError `ERR_INVALID_REFERENCE`, `ERR_NOT_FOUND`, `ERR_PERMISSION`, `ERR_IMAGE_NOT_FOUND`,
   *   `ERR_INVALID_STORE`, `ERR_UNKNOWN_STORE_VERSION`, `ERR_STORE_BUSY`
   */
  static async open(text: string): Promise<ContainerdSource> {
    const { namespace, root, name } = parseContainerdReference(text);
    const store = openStore(root);
    try {
      const full = normalizeImageName(name);
      const image =
        (await store.image(namespace, name)) ??
        (full === undefined ? undefined : await store.image(namespace, full));
      if (image === undefined) {
        throw await notFound(store, namespace, name, full);
      }
      return new ContainerdSource(text, new DirectoryFiles(store.root.content), image);
    } finally {
      store.close();
    }
  }

  async resolve(): Promise<Descriptor> {
    return this.#root;
  }

  readBlob(descriptor: Descriptor): Promise<Buffer> {
    return readLayoutBlob(this.#files, descriptor);
  }

  locateBlob(descriptor: Descriptor): Promise<BlobLocation> {
    return locateLayoutBlob(this.#files, descriptor);
  }

  close(): Promise<void> {
    return this.#files.close();
  }
}

function openStore(root: string): ContainerdStore {
  try {
    return ContainerdStore.open(root);
  } catch (error) {
    if (error instanceof UnpackError && error.code === 'ERR_NOT_FOUND') {
      const { syscall, errno, path } = error;
      throw new UnpackError(
        'ERR_NOT_FOUND',
        `${path}: is not there: ${root} is not the root of a containerd; CONTAINERD_ROOT or containerd:[@ROOT]NAME says where it is`,
        { syscall, errno, path, cause: error },
      );
    }
    throw error;
  }
}

/** The error that says where the image is, or which there are. */
async function notFound(
  store: ContainerdStore,
  namespace: string,
  name: string,
  full: string | undefined,
): Promise<UnpackError> {
  const where = store.root.directory;
  const others: string[] = [];
  for (const { name: other } of await store.namespaces()) {
    for (const one of other === namespace ? [] : [name, full]) {
      if (one !== undefined && (await store.image(other, one)) !== undefined) {
        others.push(`containerd:[${other}]${one}`);
      }
    }
  }
  const names = (await store.images(namespace)).map((image) => image.name);
  const more = names.length > maxListed ? ` and ${names.length - maxListed} more` : '';
  const list = names.length === 0 ? 'none' : `${names.slice(0, maxListed).join(', ')}${more}`;
  const elsewhere = others.length === 0 ? '' : `; another namespace has it: ${others.join(', ')}`;
  return new UnpackError(
    'ERR_IMAGE_NOT_FOUND',
    `${where}: namespace ${namespace} has no image ${JSON.stringify(name)}; it has ${list}${elsewhere}`,
  );
}
