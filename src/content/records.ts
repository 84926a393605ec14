// Blobs and their records agree by two rules. A file gets its name in the write transaction that makes its record;
// a file is removed in a write transaction that sees no record of it. So a record always has its file, whoever
// is killed when, and a file without a record is nobody's.

import { statSync, unlinkSync } from 'node:fs';
import { UnpackError } from '../errors.js';
import type { ContentInfo, Database, LabelChanges, Transaction } from '../metadata/index.js';
import { blobPath } from './layout.js';

/** Files per write transaction: others want to write too. */
const batch = 256;

/** Notes a blob in the metadata, or merges labels into what is noted; a lease holds it from now on. */
export function noteBlob(
  tx: Transaction,
  blob: {
    digest: string;
    size: number;
    labels?: LabelChanges | undefined;
    lease?: string | undefined;
  },
): ContentInfo {
  const { digest, size, labels = {}, lease } = blob;
  if (!tx.content.has(digest)) {
    tx.content.create({ digest, size, lease });
  } else if (lease !== undefined) {
    tx.leases.addResource(lease, { type: 'content', id: digest });
  }
  return Object.keys(labels).length === 0
    ? tx.content.get(digest)
    : tx.content.update(digest, { labels });
}

/** Removes the files of those digests that have no record. */
export function removeUnrecorded(
  database: Database,
  root: string,
  digests: readonly string[],
): { blobs: string[]; bytes: number } {
  const removed: { blobs: string[]; bytes: number } = { blobs: [], bytes: 0 };
  const candidates = database.view((tx) => digests.filter((digest) => !tx.content.has(digest)));
  for (let at = 0; at < candidates.length; at += batch) {
    database.update((tx) => {
      for (const digest of candidates.slice(at, at + batch)) {
        const bytes = tx.content.has(digest) ? undefined : removeFile(blobPath(root, digest));
        if (bytes !== undefined) {
          removed.blobs.push(digest);
          removed.bytes += bytes;
        }
      }
    });
  }
  return removed;
}

/** Removes a file; its bytes, or undefined where there is none. */
function removeFile(file: string): number | undefined {
  try {
    const { size } = statSync(file);
    unlinkSync(file);
    return size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return undefined;
    }
    throw UnpackError.fromSystem(error, file);
  }
}
