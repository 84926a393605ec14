// Leases: they keep resources from garbage collection while somebody works with them. One that has expired is as
// if it were not there; garbage collection removes its record.

import { decodeLease, encodeLease } from './codec.js';
import { compileFilters, labelField } from './filters.js';
import {
  checkDigest,
  checkIdentifier,
  checkLabels,
  checkName,
  checkNumber,
  mergeLabels,
} from './names.js';
import { type RecordKind, RecordStore } from './record-store.js';
import {
  buckets,
  type LabelChanges,
  type Labels,
  type Lease,
  type LeaseResource,
  type Time,
} from './schema.js';
import type { Tree } from './tree.js';

const leaseKind: RecordKind<Lease> = {
  noun: 'lease',
  decode: decodeLease,
  encode: encodeLease,
  fieldOf: (lease, path) => {
    switch (path[0]) {
      case 'id':
        return lease.id;
      case 'labels':
        return labelField(lease.labels, path);
      default:
        return undefined;
    }
  },
};

/** The leases of a namespace, in a transaction. */
export class LeaseStore {
  readonly #tree: Tree;
  readonly #namespace: string;
  readonly #records: RecordStore<Lease>;
  readonly #now: Time;

  /** @param now leases that expire up to it are not there */
  constructor(tree: Tree, namespace: string, now: Time) {
    this.#tree = tree;
    this.#namespace = namespace;
    this.#now = now;
    const prefix = `${buckets.leases}\t${namespace}\t`;
    this.#records = new RecordStore(tree, prefix, leaseKind, (id) => {
      checkIdentifier('lease id', id);
    });
  }

  /** @throws UnpackError `ERR_STORE_NOT_FOUND` */
  get(id: string): Lease {
    return this.find(id) ?? this.#records.fail('ERR_STORE_NOT_FOUND', id, 'is not in the store');
  }

  find(id: string): Lease | undefined {
    const lease = this.#records.find(id);
    return lease === undefined || this.#isExpired(lease) ? undefined : lease;
  }

  /** By id. @param filters on `id`, `labels.<name>` */
  list(filters?: readonly string[]): Lease[] {
    const fits = compileFilters(filters, leaseKind.fieldOf);
    return this.#records.list().filter((lease) => !this.#isExpired(lease) && fits(lease));
  }

  /** Those that have expired and whose records are still there. */
  listExpired(): Lease[] {
    return this.#records.list().filter((lease) => this.#isExpired(lease));
  }

  /**
   * @param lease `expiresAt`: milliseconds since 1970; it never expires without
   * @throws UnpackError `ERR_STORE_EXISTS`
   */
  create(lease: {
    id: string;
    expiresAt?: Time | undefined;
    labels?: Labels | undefined;
    resources?: readonly LeaseResource[] | undefined;
  }): Lease {
    const { id, expiresAt } = lease;
    if (this.#records.has(id) && this.find(id) === undefined) {
      this.#removeRecord(id);
    }
    const created = this.#records.create(id, {
      id,
      labels: checkLabels(lease.labels),
      createdAt: this.#now,
      expiresAt: expiresAt === undefined ? undefined : checkNumber('expiresAt', expiresAt),
    });
    for (const resource of lease.resources ?? []) {
      this.addResource(id, resource);
    }
    return created;
  }

  /** Moves the time of expiry (null: never), merges labels. @throws UnpackError `ERR_STORE_NOT_FOUND` */
  update(id: string, changes: { expiresAt?: Time | null; labels?: LabelChanges }): Lease {
    const lease = this.get(id);
    const { expiresAt } = changes;
    const updated: Lease = {
      ...lease,
      labels: mergeLabels(lease.labels, changes.labels),
      expiresAt:
        expiresAt === undefined
          ? lease.expiresAt
          : expiresAt === null
            ? undefined
            : checkNumber('expiresAt', expiresAt),
    };
    this.#records.put(id, updated);
    return updated;
  }

  /** The resources that it held are left to garbage collection. @throws UnpackError `ERR_STORE_NOT_FOUND` */
  delete(id: string): Lease {
    const lease = this.#records.get(id);
    this.#removeRecord(id);
    return lease;
  }

  /** Holding it twice is fine, and so is what is not there yet. @throws UnpackError `ERR_STORE_NOT_FOUND` of the lease */
  addResource(id: string, resource: LeaseResource): void {
    this.get(id);
    this.#tree.put(this.#resourceKey(id, resource), true);
  }

  removeResource(id: string, resource: LeaseResource): void {
    this.get(id);
    this.#tree.remove(this.#resourceKey(id, resource));
  }

  resources(id: string): LeaseResource[] {
    this.get(id);
    return Array.from(this.#tree.keys(this.#resourcesOf(id)), (resource) => {
      const tab = resource.indexOf('\t');
      return { type: resource.slice(0, tab), id: resource.slice(tab + 1) };
    });
  }

  #removeRecord(id: string): void {
    const prefix = this.#resourcesOf(id);
    for (const resource of Array.from(this.#tree.keys(prefix))) {
      this.#tree.remove(prefix + resource);
    }
    this.#records.remove(id);
  }

  #isExpired(lease: Lease): boolean {
    return lease.expiresAt !== undefined && lease.expiresAt <= this.#now;
  }

  #resourcesOf(id: string): string {
    return `${buckets.leaseResources}\t${this.#namespace}\t${id}\t`;
  }

  #resourceKey(id: string, { type, id: resource }: LeaseResource): string {
    if (type === 'content') {
      checkDigest(resource);
    } else if (type === 'ingests') {
      checkName('ref', resource);
    } else if (type.startsWith('snapshots/')) {
      checkIdentifier('snapshotter', type.slice('snapshots/'.length));
      checkName('snapshot key', resource);
    } else {
      // Throws, naming the type.
      checkIdentifier('type of resource (content, ingests, snapshots/SNAPSHOTTER)', ` ${type}`);
    }
    return `${this.#resourcesOf(id)}${type}\t${resource}`;
  }
}
