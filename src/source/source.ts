// What an image source is: it names the root of an image and hands out its blobs. Implemented by OCI layouts
// (directory and archive), docker archives and containerd stores.

import type { Descriptor } from '../oci/index.js';

/** The kinds of source. */
export type Transport = 'oci' | 'oci-archive' | 'docker-archive' | 'containerd';

/** Where the bytes of a blob lie: `length` bytes from `offset` on of the file `path`. */
export interface BlobLocation {
  /** Absolute path of a regular file; valid until the source is closed. */
  path: string;
  /** Bytes. */
  offset: number;
  /** Bytes; equal to the descriptor's size. */
  length: number;
}

/** What the documents of an image are read from. */
export type ImageDocuments = Pick<ImageSource, 'reference' | 'resolve' | 'readBlob'>;

/** An opened image. Close it when done; blob locations are valid until then. */
export interface ImageSource {
  /** The full reference, with its transport (also when a bare path was given). */
  readonly reference: string;
  readonly transport: Transport;
  /**
   * The descriptor of the image's root: an index or a manifest.
   *
   * @throws UnpackError `ERR_IMAGE_NOT_FOUND`, `ERR_AMBIGUOUS_REFERENCE`, `ERR_INVALID_IMAGE`, `ERR_NOT_FOUND`
   */
  resolve(): Promise<Descriptor>;
  /**
   * The content of a small blob (an index, manifest or config), size and digest checked; at most 8 MiB.
   *
   * @throws UnpackError `ERR_BLOB_NOT_FOUND`, `ERR_SIZE_MISMATCH`, `ERR_DIGEST_MISMATCH`, `ERR_LIMIT_EXCEEDED`
   */
  readBlob(descriptor: Descriptor): Promise<Buffer>;
  /**
   * Where a blob of any size lies. Its size is checked, its digest is not: who reads it does.
   *
   * @throws UnpackError `ERR_BLOB_NOT_FOUND`, `ERR_SIZE_MISMATCH`
   */
  locateBlob(descriptor: Descriptor): Promise<BlobLocation>;
  /** Closes files and removes temporary ones; may be called twice. */
  close(): Promise<void>;
}
