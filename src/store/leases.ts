// Leases, as users of a store make and see them.

import { randomBytes } from 'node:crypto';
import type { Labels, Lease, LeaseResource } from '../metadata/index.js';
import type { StoreContext } from './context.js';

/** What `Leases.create` takes. */
export interface CreateLeaseOptions {
  /** Default: a random one. */
  id?: string | undefined;
  /** Milliseconds from now until it ends by itself; default never. */
  expiresIn?: number | undefined;
  labels?: Labels | undefined;
  /** What it holds: `content` DIGEST, `snapshots/KIND` KEY, `ingests` REF. */
  resources?: readonly LeaseResource[] | undefined;
}

/** The leases of the store's namespace. */
export class Leases {
  readonly #context: StoreContext;

  constructor(context: StoreContext) {
    this.#context = context;
  }

  /** By id. @param filters on `id`, `labels.<name>` */
  list(filters?: readonly string[]): Lease[] {
    return this.#context.database.view((tx) => tx.leases.list(filters));
  }

  /** @throws UnpackError `ERR_STORE_NOT_FOUND` */
  get(id: string): Lease & { resources: LeaseResource[] } {
    return this.#context.database.view((tx) => ({
      ...tx.leases.get(id),
      resources: tx.leases.resources(id),
    }));
  }

  /** @throws UnpackError `ERR_STORE_EXISTS`, `ERR_INVALID_ARGUMENT` */
  create(options: CreateLeaseOptions = {}): Lease {
    const { expiresIn, labels, resources } = options;
    const id = options.id ?? `lease-${randomBytes(8).toString('hex')}`;
    return this.#context.database.update((tx) =>
      tx.leases.create({
        id,
        labels,
        resources,
        expiresAt: expiresIn === undefined ? undefined : tx.now + expiresIn,
      }),
    );
  }

  /** What it held is left to garbage collection. @throws UnpackError `ERR_STORE_NOT_FOUND` */
  remove(id: string): void {
    this.#context.database.update((tx) => tx.leases.delete(id));
  }
}
