// The files an image is made of, whether they lie in a directory or in an archive. Paths are relative, with `/`, and
// come from our own code or from checked digests; in an archive also from its manifest.json.

import type { FileHandle } from 'node:fs/promises';
import { UnpackError } from '../errors.js';
import type { Descriptor } from '../oci/index.js';
import { matchesDigest, parseDigest } from '../oci/index.js';
import type { BlobLocation } from './source.js';

/** Files by path. */
export interface ImageFiles {
  /** How to call them in messages: the path of the directory or archive. */
  readonly name: string;
  /** Where a regular file's bytes lie; undefined where there is none. */
  locate(path: string): Promise<BlobLocation | undefined>;
  /** The bytes of a location that `locate` gave, or the first `length` of them. */
  read(location: BlobLocation, length?: number): Promise<Buffer>;
  close(): Promise<void>;
}

/** Documents (indexes, manifests, configs) are at most this long: containerd's bound, in bytes. */
export const maxDocumentSize = 8 * 1024 * 1024;

/** The bytes of a document; undefined where it is missing. */
export async function readDocument(files: ImageFiles, path: string): Promise<Buffer | undefined> {
  const location = await files.locate(path);
  if (location === undefined) {
    return undefined;
  }
  checkDocumentSize(location.length, `${files.name}: ${path}`);
  return files.read(location);
}

/** Throws `ERR_LIMIT_EXCEEDED` for a document that is too long to be one. */
export function checkDocumentSize(size: number, what: string): void {
  if (size > maxDocumentSize) {
    throw new UnpackError(
      'ERR_LIMIT_EXCEEDED',
      `${what}: has ${size} bytes, more than the ${maxDocumentSize} that an index, manifest or config may have`,
    );
  }
}

/** Checks that a blob is there with the size its descriptor says. */
export function checkLocation(
  files: ImageFiles,
  descriptor: Descriptor,
  path: string,
  location: BlobLocation | undefined,
): BlobLocation {
  const { digest, size } = descriptor;
  if (location === undefined) {
    throw new UnpackError(
      'ERR_BLOB_NOT_FOUND',
      `${files.name}: blob ${digest} (${descriptor.mediaType}) is missing at ${path}`,
      { path },
    );
  }
  if (location.length !== size) {
    throw new UnpackError(
      'ERR_SIZE_MISMATCH',
      `${files.name}: ${path}: has ${location.length} bytes, its descriptor says ${size}`,
      { path },
    );
  }
  return location;
}

/** Checks that bytes have the digest their descriptor says. */
export function checkDigest(files: ImageFiles, descriptor: Descriptor, bytes: Buffer): void {
  if (!matchesDigest(bytes, descriptor.digest)) {
    throw new UnpackError(
      'ERR_DIGEST_MISMATCH',
      `${files.name}: blob ${descriptor.digest} (${descriptor.mediaType}) has other content than its digest says`,
    );
  }
}

/** The bytes of a document that lies where the blobs of an OCI layout lie; checked. */
export async function readLayoutBlob(files: ImageFiles, descriptor: Descriptor): Promise<Buffer> {
  checkDocumentSize(descriptor.size, `${descriptor.mediaType} ${descriptor.digest}`);
  const bytes = await files.read(await locateLayoutBlob(files, descriptor));
  checkDigest(files, descriptor, bytes);
  return bytes;
}

/** Where a blob of an OCI layout lies; its size is checked. */
export async function locateLayoutBlob(
  files: ImageFiles,
  descriptor: Descriptor,
): Promise<BlobLocation> {
  const path = blobPath(descriptor.digest);
  return checkLocation(files, descriptor, path, await files.locate(path));
}

/** Path of a blob in a layout (image-spec image-layout.md). */
function blobPath(digest: string): string {
  const parsed = parseDigest(digest);
  if (parsed === undefined) {
    throw new UnpackError('ERR_INVALID_ARGUMENT', `${JSON.stringify(digest)}: is not a digest`);
  }
  return `blobs/${parsed.algorithm}/${parsed.hex}`;
}

/** Reads `length` bytes at `offset`; `ERR_TRUNCATED` when the file is shorter. `name` stands in errors. */
export async function readAt(
  handle: FileHandle,
  offset: number,
  length: number,
  name: string,
): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    let count: number;
    try {
      count = (await handle.read(buffer, filled, length - filled, offset + filled)).bytesRead;
    } catch (error) {
      throw UnpackError.fromSystem(error, name);
    }
    if (count === 0) {
      throw new UnpackError('ERR_TRUNCATED', `${name}: ends at ${offset + filled} bytes`, {
        path: name,
      });
    }
    filled += count;
  }
  return buffer;
}
