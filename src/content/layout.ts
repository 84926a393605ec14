// Where things lie in the directory of a content store, and the few system calls on them that keep it crash-safe.

import { createHash } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { makeDirectory } from '../native/index.js';
import { parseDigest } from '../oci/digest.js';
import { syncDirectory } from '../sync-directory.js';

export const blobsName = 'blobs';
export const ingestName = 'ingest';

/**
 * The files of an ingest. `lock` is held while somebody writes; `ref` its name, `total` the size and `expected` the
 * digest where they are known, `startedat` a time (RFC 3339).
 */
export const ingestFiles = ['data', 'ref', 'total', 'expected', 'startedat', 'lock'] as const;

/** `<root>/blobs/<alg>/<hex>`. @throws UnpackError `ERR_INVALID_ARGUMENT` for what is no digest */
export function blobPath(root: string, digest: string): string {
  const parsed = parseDigest(digest);
  if (parsed === undefined) {
    throw new UnpackError('ERR_INVALID_ARGUMENT', `${JSON.stringify(digest)} is not a digest`);
  }
  return path.join(root, blobsName, parsed.algorithm, parsed.hex);
}

/** `<root>/ingest/<sha256 of the ref>`: a ref may hold any character. */
export function ingestDirectory(root: string, ref: string): string {
  return path.join(root, ingestName, createHash('sha256').update(ref).digest('hex'));
}

/** Makes `directory` and what is missing above it, and has each new name on the disk. */
export async function makeDurableDirectory(directory: string): Promise<void> {
  try {
    for (const made of await makeDirectory(directory, 0o755)) {
      syncDirectory(path.dirname(made));
    }
  } catch (error) {
    throw UnpackError.fromSystem(error, directory);
  }
}

/** Removes a file that may be big; nothing there is fine. */
export async function removeFile(file: string): Promise<void> {
  try {
    await unlink(file);
  } catch (error) {
    throwUnlessGone(error, file);
  }
}

/** {@link removeFile} of one that is small: at once, since handing it to another thread takes longer. */
export function removeSmallFile(file: string): void {
  try {
    unlinkSync(file);
  } catch (error) {
    throwUnlessGone(error, file);
  }
}

function throwUnlessGone(error: unknown, file: string): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
    throw UnpackError.fromSystem(error, file);
  }
}
