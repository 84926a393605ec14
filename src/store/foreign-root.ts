// A directory that is no store but holds what one would take for its own: an OCI layout, a root of containerd's, a store
// whose metadata is lost. Whoever opened it for writing would sweep all of it, since no record names it.

import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { hasMetadata } from '../metadata/index.js';

/** What is swept below a store's root (docs/store.md). */
const swept = [
  'aufs',
  'blobs',
  'bundles',
  'ingest',
  'locks',
  'native',
  'sessions',
  'snapshots',
  'staging',
];

/**
 * Refuses such a directory. Another process may be making its first store there meanwhile.
 *
 * @throws UnpackError `ERR_STORE_CORRUPT`
 */
export async function refuseForeignRoot(root: string): Promise<void> {
  if (hasMetadata(root)) {
    return;
  }
  const found: string[] = [];
  for (const name of swept) {
    const names = await readdir(path.join(root, name)).catch(() => []); // what cannot be read cannot be swept
    if (names.length > 0) {
      found.push(`${name}/`);
    }
  }
  // Again, after the look: a store has its metadata before it has anything else.
  if (found.length > 0 && !hasMetadata(root)) {
    throw new UnpackError(
      'ERR_STORE_CORRUPT',
      `${root}: has ${found.join(', ')} but no metadata: it is no store, or one that has lost it; restore ${path.join(root, 'metadata')}, or name another directory`,
      { path: root },
    );
  }
}
