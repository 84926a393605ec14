// What the parts of an open store share.

import type { ContentStore } from '../content/index.js';
import { UnpackError } from '../errors.js';
import type { Database } from '../metadata/index.js';
import type { LayerSnapshotter } from '../snapshots/index.js';
import type { LayerLocks } from '../unpack/layer-locks.js';
import { type CommonOptions, type ResolvedOptions, resolveOptions } from '../unpack/options.js';
import type { Session } from './session.js';

/**
 * When the layers that were unpacked are on the disk. Blobs and metadata always are, except with `none`. `background`:
 * soon after the call, which does not wait for it; until then they are marked `unsynced`, and are
 * unpacked again should the machine lose power. `wait`: when the call ends. `none`: whenever the kernel likes;
 * for stores that are thrown away.
 */
export type StoreDurability = 'wait' | 'background' | 'none';

/** Every {@link StoreDurability}, the default first. */
export const storeDurabilities: readonly StoreDurability[] = ['background', 'wait', 'none'];

export interface StoreContext {
  readonly root: string;
  readonly database: Database;
  readonly content: ContentStore;
  readonly snapshotter: LayerSnapshotter;
  readonly locks: LayerLocks;
  readonly durability: StoreDurability;
  /** The process may not do all that root may. */
  readonly rootless: boolean;
  /** Of a store that may be written. @throws UnpackError `ERR_STORE_READ_ONLY` */
  session(): Session;
  /** Makes what was unpacked durable, as `durability` says. */
  sync(): Promise<void>;
}

/** How layers are unpacked into a store: as {@link CommonOptions}, the format being that of the snapshotter. */
export type StoreUnpackOptions = Omit<CommonOptions, 'format'>;

/** Checks the options. Without root's rights files belong to the caller, unless said otherwise. */
export function resolveStoreOptions(
  context: StoreContext,
  options: StoreUnpackOptions,
): ResolvedOptions {
  if ('format' in options && options.format !== undefined) {
    throw new UnpackError(
      'ERR_INVALID_ARGUMENT',
      'format: is not for a store, whose kind of snapshotter says it',
    );
  }
  const given = options.policies ?? {};
  const rootless = { ownership: 'ignore', devices: 'skip', xattrs: 'best-effort' } as const;
  return resolveOptions({
    ...options,
    format: context.snapshotter.format,
    policies: context.rootless ? { ...rootless, ...given } : given,
  });
}
