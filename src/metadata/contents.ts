// Content: what is known of the blobs of the content store. The files themselves are of src/content/.

import { decodeContent, encodeContent } from './codec.js';
import { labelField } from './filters.js';
import type { LeaseStore } from './leases.js';
import { checkDigest, checkLabels, checkNumber, mergeLabels } from './names.js';
import { type RecordKind, RecordStore } from './record-store.js';
import { buckets, type ContentInfo, type LabelChanges, type Labels } from './schema.js';
import type { Tree } from './tree.js';

const contentKind: RecordKind<ContentInfo> = {
  noun: 'blob',
  decode: decodeContent,
  encode: encodeContent,
  fieldOf: (info, path) => {
    switch (path[0]) {
      case 'digest':
        return info.digest;
      case 'size':
        return String(info.size);
      case 'labels':
        return labelField(info.labels, path);
      default:
        return undefined;
    }
  },
};

/** The records of all blobs, in a transaction. */
export class ContentInfoStore {
  readonly #records: RecordStore<ContentInfo>;
  readonly #leases: LeaseStore;

  constructor(tree: Tree, leases: LeaseStore) {
    this.#leases = leases;
    const prefix = `${buckets.content}\t`;
    this.#records = new RecordStore(tree, prefix, contentKind, checkDigest);
  }

  /** @throws UnpackError `ERR_STORE_NOT_FOUND` */
  get(digest: string): ContentInfo {
    return this.#records.get(digest);
  }

  find(digest: string): ContentInfo | undefined {
    return this.#records.find(digest);
  }

  has(digest: string): boolean {
    return this.#records.has(digest);
  }

  /** By digest. @param filters on `digest`, `size`, `labels.<name>` */
  list(filters?: readonly string[]): ContentInfo[] {
    return this.#records.list(filters);
  }

  /** All digests. */
  digests(): string[] {
    return this.#records.ids();
  }

  /** `lease`: the id of a lease that holds it from the beginning. @throws UnpackError `ERR_STORE_EXISTS` */
  create(info: {
    digest: string;
    size: number;
    labels?: Labels | undefined;
    lease?: string | undefined;
  }): ContentInfo {
    const now = Date.now();
    if (info.lease !== undefined) {
      this.#leases.addResource(info.lease, { type: 'content', id: info.digest });
    }
    return this.#records.create(info.digest, {
      digest: info.digest,
      size: checkNumber('size', info.size),
      labels: checkLabels(info.labels),
      createdAt: now,
      updatedAt: now,
    });
  }

  /** Merges labels. @throws UnpackError `ERR_STORE_NOT_FOUND` */
  update(digest: string, changes: { labels: LabelChanges }): ContentInfo {
    const info = this.get(digest);
    const updated = {
      ...info,
      labels: mergeLabels(info.labels, changes.labels),
      updatedAt: Date.now(),
    };
    this.#records.put(digest, updated);
    return updated;
  }

  /** @throws UnpackError `ERR_STORE_NOT_FOUND` */
  delete(digest: string): ContentInfo {
    return this.#records.remove(digest);
  }
}
