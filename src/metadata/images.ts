// Images: names that point at a manifest or an index.

import type { Descriptor } from '../oci/index.js';
import { decodeImage, encodeImage, imageListFields } from './codec.js';
import { labelField } from './filters.js';
import { checkDigest, checkLabels, checkName, checkNumber, mergeLabels } from './names.js';
import { type RecordKind, RecordStore } from './record-store.js';
import { buckets, type Image, type LabelChanges, type Labels } from './schema.js';
import type { Tree } from './tree.js';

const imageKind: RecordKind<Image> = {
  noun: 'image',
  decode: decodeImage,
  encode: encodeImage,
  fieldOf: (image, path) => {
    switch (path[0]) {
      case 'name':
        return path.length === 1 ? image.name : undefined;
      case 'target':
        return path[1] === 'digest'
          ? image.target.digest
          : path[1] === 'mediatype' || path[1] === 'mediaType'
            ? image.target.mediaType
            : undefined;
      case 'labels':
        return labelField(image.labels, path);
      case 'annotations':
        return labelField(image.target.annotations ?? {}, path);
      default:
        return undefined;
    }
  },
};

/** What a list shows of images: texts of a line for each, and none for no image. */
export interface ImageColumns {
  names: string;
  /** Milliseconds since 1970. */
  updatedAt: string;
  /** Of the targets. */
  digests: string;
}

/** The images of a namespace, in a transaction. */
export class ImageStore {
  readonly #records: RecordStore<Image>;

  constructor(tree: Tree, namespace: string) {
    const prefix = `${buckets.images}\t${namespace}\t`;
    this.#records = new RecordStore(tree, prefix, imageKind, (name) => {
      checkName('image name', name);
    });
  }

  /** @throws UnpackError `ERR_STORE_NOT_FOUND` */
  get(name: string): Image {
    return this.#records.get(name);
  }

  find(name: string): Image | undefined {
    return this.#records.find(name);
  }

  /** By name. @param filters on `name`, `target.digest`, `target.mediatype`, `labels.<name>`, `annotations.<name>` */
  list(filters?: readonly string[]): Image[] {
    return this.#records.list(filters);
  }

  /** All names, in order. */
  names(): string[] {
    return this.#records.ids();
  }

  /** What a list shows of all images, by columns, in order of the names. */
  columns(): ImageColumns {
    const { updatedAt, digest } = imageListFields;
    const { keys: names, fields } = this.#records.columns([updatedAt, digest]);
    const [times, digests] = fields as [string, string];
    return { names, updatedAt: times, digests };
  }

  /** @throws UnpackError `ERR_STORE_EXISTS` */
  create(image: { name: string; target: Descriptor; labels?: Labels }): Image {
    const now = Date.now();
    return this.#records.create(image.name, {
      name: image.name,
      target: checkTarget(image.target),
      labels: checkLabels(image.labels),
      createdAt: now,
      updatedAt: now,
    });
  }

  /** Changes the target and merges labels. @throws UnpackError `ERR_STORE_NOT_FOUND` */
  update(name: string, changes: { target?: Descriptor; labels?: LabelChanges }): Image {
    const image = this.get(name);
    const updated = {
      ...image,
      target: changes.target === undefined ? image.target : checkTarget(changes.target),
      labels: mergeLabels(image.labels, changes.labels),
      updatedAt: Date.now(),
    };
    this.#records.put(name, updated);
    return updated;
  }

  /** Creates the image, or updates the one that there is. */
  set(image: { name: string; target: Descriptor; labels?: Labels }): Image {
    const { name, target, labels } = image;
    return this.#records.has(name)
      ? this.update(name, labels === undefined ? { target } : { target, labels })
      : this.create(image);
  }

  /** Its content stays until the next garbage collection. @throws UnpackError `ERR_STORE_NOT_FOUND` */
  delete(name: string): Image {
    return this.#records.remove(name);
  }
}

function checkTarget(target: Descriptor): Descriptor {
  checkDigest(target.digest);
  checkNumber('size', target.size);
  checkName('media type', target.mediaType);
  return target;
}
