// The content store: blobs by digest, in the directory of a store, with labels in its metadata. Other stores can
// be read beside it.

import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnpackError } from '../errors.js';
import {
  type ContentInfo,
  checkName,
  type Database,
  type LabelChanges,
} from '../metadata/index.js';
import { matchesDigest, parseDigest } from '../oci/digest.js';
import type { Descriptor } from '../oci/index.js';
import {
  abortIngest,
  type IngestStatus,
  ingestStatus,
  listIngests,
  sweepIngests,
} from './ingests.js';
import { blobPath, blobsName } from './layout.js';
import { noteBlob, removeUnrecorded } from './records.js';
import { type CommitOptions, ContentWriter, type WriterOptions } from './writer.js';

export interface ContentStoreOptions {
  /** Directory of the store: blobs are in `blobs/`, ingests in `ingest/`. */
  root: string;
  /** Its metadata. */
  database: Database;
  /** Directories of other stores (or OCI layouts), which are read and never written. */
  sources?: readonly string[] | undefined;
}

/** Where all the bytes of a blob lie; the same shape as an image source gives. */
export interface ContentLocation {
  path: string;
  offset: number;
  length: number;
}

/** How to ingest a blob in one call. */
export interface IngestOptions extends CommitOptions {
  /** Cancels: nothing is left. */
  signal?: AbortSignal | undefined;
  /** Called with the bytes that are written. */
  onProgress?: ((offset: number) => void) | undefined;
}

/** Documents (indexes, manifests, configs) are at most this long, in bytes. */
const maxDocumentSize = 8 * 1024 * 1024;
const copySize = 1024 * 1024;
/** Bytes of a blob, in order. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Milliseconds between two looks whether another writer has ended. */
const busyDelay = 50;

export class ContentStore {
  readonly root: string;
  readonly #database: Database;
  readonly #sources: readonly string[];

  constructor(options: ContentStoreOptions) {
    this.root = path.resolve(options.root);
    this.#database = options.database;
    this.#sources = (options.sources ?? []).map((source) => path.resolve(source));
  }

  /**
   * What is known of a blob; of one that only a source has, its size.
   *
   * @throws UnpackError `ERR_STORE_NOT_FOUND`
   */
  async info(digest: string): Promise<ContentInfo> {
    const info = await this.find(digest);
    if (info === undefined) {
      throw new UnpackError('ERR_STORE_NOT_FOUND', `blob ${digest}: is not in the store`);
    }
    return info;
  }

  async find(digest: string): Promise<ContentInfo | undefined> {
    const info = this.#database.view((tx) => tx.content.find(digest));
    const file = await this.#locate(digest, info);
    if (file === undefined || info !== undefined) {
      return file === undefined ? undefined : info;
    }
    const { size, time } = file;
    return { digest, size, labels: {}, createdAt: time, updatedAt: time };
  }

  /** The store's own blobs, by digest. @param filters on `digest`, `size`, `labels.<name>` */
  list(filters?: readonly string[]): ContentInfo[] {
    return this.#database.view((tx) => tx.content.list(filters));
  }

  /** Calls `visit` with each of the store's own blobs. */
  async walk(
    visit: (info: ContentInfo) => void | Promise<void>,
    filters?: readonly string[],
  ): Promise<void> {
    for (const info of this.list(filters)) {
      await visit(info);
    }
  }

  /**
   * The file of a blob: for reading, by the addon too. Its content was checked when it was written.
   *
   * @throws UnpackError `ERR_STORE_NOT_FOUND`
   */
  async path(digest: string): Promise<string> {
    const info = await this.info(digest);
    return (await this.#locate(digest, info))?.path ?? blobPath(this.root, digest);
  }

  /**
   * Where the bytes of a blob lie, its size checked.
   *
   * @throws UnpackError `ERR_BLOB_NOT_FOUND`, `ERR_SIZE_MISMATCH`
   */
  async locateBlob(descriptor: Descriptor): Promise<ContentLocation> {
    const { digest, size } = descriptor;
    const info = this.#database.view((tx) => tx.content.find(digest));
    const file = await this.#locate(digest, info);
    if (file === undefined) {
      throw new UnpackError(
        'ERR_BLOB_NOT_FOUND',
        `blob ${digest} (${descriptor.mediaType}): is not in the store`,
      );
    }
    if (file.size !== size) {
      const problem = `has ${file.size} bytes, its descriptor says ${size}`;
      throw new UnpackError('ERR_SIZE_MISMATCH', `${file.path}: ${problem}`, { path: file.path });
    }
    return { path: file.path, offset: 0, length: file.size };
  }

  /**
   * The bytes of an index, manifest or config, size and digest checked; at most 8 MiB.
   *
   * @throws UnpackError `ERR_BLOB_NOT_FOUND`, `ERR_SIZE_MISMATCH`, `ERR_DIGEST_MISMATCH`, `ERR_LIMIT_EXCEEDED`
   */
  async readBlob(descriptor: Descriptor): Promise<Buffer> {
    const { path: file, length } = await this.locateBlob(descriptor);
    if (length > maxDocumentSize) {
      const problem = `has ${length} bytes; a document has at most ${maxDocumentSize}`;
      throw new UnpackError('ERR_LIMIT_EXCEEDED', `blob ${descriptor.digest}: ${problem}`);
    }
    let bytes: Buffer;
    try {
      bytes = await readWhole(file, length);
    } catch (error) {
      throw UnpackError.fromSystem(error, file);
    }
    if (!matchesDigest(bytes, descriptor.digest)) {
      const problem = `has other content than its digest ${descriptor.digest} says`;
      throw new UnpackError('ERR_DIGEST_MISMATCH', `${file}: ${problem}`, { path: file });
    }
    return bytes;
  }

  /**
   * Merges labels (null takes one away). A blob of a source gets a record of its own by it.
   *
   * @throws UnpackError `ERR_STORE_NOT_FOUND`
   */
  async update(digest: string, labels: LabelChanges): Promise<ContentInfo> {
    const { size } = await this.info(digest);
    return (
      this.#note({ digest, size, labels }, await this.#isInSource(digest)) ?? this.info(digest)
    );
  }

  /** @throws UnpackError `ERR_STORE_NOT_FOUND` */
  async delete(digest: string): Promise<void> {
    this.#database.update((tx) => tx.content.delete(digest));
    removeUnrecorded(this.#database, this.root, [digest]);
  }

  /**
   * Begins to write a blob, or goes on: `writer.offset`. One writer per ref, also among processes.
   *
   * @throws UnpackError `ERR_STORE_BUSY`, `ERR_STORE_EXISTS` when the digest is given and there already
   */
  async writer(ref: string, options: WriterOptions = {}): Promise<ContentWriter> {
    checkName('ref', ref);
    if (options.digest !== undefined && (await this.find(options.digest)) !== undefined) {
      throw new UnpackError('ERR_STORE_EXISTS', `blob ${options.digest}: is in the store already`);
    }
    return ContentWriter.open({ root: this.root, database: this.#database }, ref, options);
  }

  /**
   * Writes a blob in one call. One that is there already is not written again: it has the labels merged into it (null
   * takes one away) and is held by the lease. While another call writes the same ref, it is waited for.
   *
   * @param source the bytes, or what makes them from an offset on: then an ingest that is there is gone on with
   * @throws UnpackError as {@link ContentWriter.commit}; `ERR_ABORTED`; what the source throws. Nothing is left
   */
  async ingest(
    ref: string,
    source: Chunks | ((offset: number) => Chunks),
    options: IngestOptions = {},
  ): Promise<ContentInfo> {
    const writer = await this.#waitForWriter(ref, options);
    if (!(writer instanceof ContentWriter)) {
      return writer;
    }
    const from = typeof source === 'function' ? writer.offset : 0;
    try {
      if (from !== writer.offset) {
        await writer.reset();
      }
      for await (const chunk of typeof source === 'function' ? source(from) : source) {
        checkAborted(options.signal);
        await writer.write(chunk);
        options.onProgress?.(writer.offset);
      }
      checkAborted(options.signal);
      return await writer.commit(options);
    } catch (caught) {
      await writer.abort().catch(() => {});
      const error = UnpackError.from(caught);
      if (
        from > 0 &&
        (error.code === 'ERR_DIGEST_MISMATCH' || error.code === 'ERR_SIZE_MISMATCH')
      ) {
        // The part that was there may be what a power loss left of it.
        return this.ingest(ref, source, options);
      }
      throw error;
    }
  }

  /** {@link ingest} from a window of a file. Its content is checked as any other. */
  async ingestFile(
    ref: string,
    file: { path: string; offset?: number; length?: number },
    options: IngestOptions = {},
  ): Promise<ContentInfo> {
    return this.ingest(ref, (from) => readChunks(file, from), options);
  }

  /** The blobs that are being written, or were when their writer ended. */
  ingests(): Promise<IngestStatus[]> {
    return listIngests(this.root);
  }

  ingestStatus(ref: string): Promise<IngestStatus | undefined> {
    return ingestStatus(this.root, ref);
  }

  /** Removes an ingest; whether there was one. @throws UnpackError `ERR_STORE_BUSY` while somebody writes it */
  abort(ref: string): Promise<boolean> {
    return abortIngest(this.root, ref);
  }

  /**
   * Removes what no record names: files that garbage collection or a killed process left, and ingests that nobody
   * writes, no lease holds, and whose data is older than `ingestAge` milliseconds (a day where it is not given).
   */
  async cleanup(
    options: { ingestAge?: number | undefined } = {},
  ): Promise<{ blobs: string[]; bytes: number; ingests: string[] }> {
    const own = await this.#ownDigests();
    const { blobs, bytes } = removeUnrecorded(this.#database, this.root, own);
    const held = this.#database.view((tx) => tx.leasedIngests());
    const age = options.ingestAge ?? 24 * 3600 * 1000;
    const ingests = await sweepIngests(this.root, age, (ref) => held.has(ref));
    return { blobs, bytes, ingests };
  }

  async #ownDigests(): Promise<string[]> {
    const digests: string[] = [];
    for (const algorithm of ['sha256', 'sha512']) {
      const directory = path.join(this.root, blobsName, algorithm);
      const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') {
          return [];
        }
        throw UnpackError.fromSystem(error, directory);
      });
      for (const name of names) {
        if (parseDigest(`${algorithm}:${name}`) !== undefined) {
          digests.push(`${algorithm}:${name}`);
        }
      }
    }
    return digests;
  }

  /** The writer, or the blob where it is there already; waits while somebody else writes. */
  async #waitForWriter(ref: string, options: IngestOptions): Promise<ContentWriter | ContentInfo> {
    const { size, digest, signal } = options;
    for (;;) {
      checkAborted(signal);
      const there = await this.#adopt(options);
      if (there !== undefined) {
        return there;
      }
      try {
        return await this.writer(ref, { size, digest });
      } catch (error) {
        const { code } = error as UnpackError;
        if (code !== 'ERR_STORE_BUSY' && code !== 'ERR_STORE_EXISTS') {
          throw error;
        }
        await sleep(busyDelay);
      }
    }
  }

  /** The blob of that digest where it is there, with labels and lease; a source's gets a record of its own. */
  async #adopt(options: IngestOptions): Promise<ContentInfo | undefined> {
    const { digest, size, labels, lease } = options;
    const found = digest === undefined ? undefined : await this.find(digest);
    if (found === undefined) {
      return undefined;
    }
    if (size !== undefined && found.size !== size) {
      const problem = `has ${found.size} bytes in the store, not ${size}`;
      throw new UnpackError('ERR_SIZE_MISMATCH', `blob ${digest}: ${problem}`);
    }
    return this.#note(
      { digest: found.digest, size: found.size, labels, lease },
      await this.#isInSource(found.digest),
    );
  }

  /** Notes what is noted already, or is in a source; garbage collection may have been quicker than the caller. */
  #note(blob: Parameters<typeof noteBlob>[1], isInSource: boolean): ContentInfo | undefined {
    return this.#database.update((tx) =>
      isInSource || tx.content.has(blob.digest) ? noteBlob(tx, blob) : undefined,
    );
  }

  async #isInSource(digest: string): Promise<boolean> {
    return (await this.#locate(digest, undefined)) !== undefined;
  }

  /** The file of a blob. In the store's own directory one without a record does not count: it is not committed. */
  async #locate(
    digest: string,
    info: ContentInfo | undefined,
  ): Promise<{ path: string; size: number; time: number } | undefined> {
    for (const root of info === undefined ? this.#sources : [this.root, ...this.#sources]) {
      const file = blobPath(root, digest);
      const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT' || error.code === 'ENOTDIR') {
          return undefined;
        }
        throw UnpackError.fromSystem(error, file);
      });
      if (found?.isFile()) {
        return { path: file, size: found.size, time: Math.round(found.mtimeMs) };
      }
    }
    return undefined;
  }
}

function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new UnpackError('ERR_ABORTED', 'cancelled', { cause: signal.reason });
  }
}

/** The first `length` bytes of a file; `readFile` of Node takes one read that gives less for the end. */
async function readWhole(file: string, length: number): Promise<Buffer> {
  const handle = await open(file, 'r');
  try {
    const bytes = Buffer.alloc(length);
    let at = 0;
    while (at < length) {
      const { bytesRead } = await handle.read(bytes, at, length - at, at);
      if (bytesRead === 0) {
        break;
      }
      at += bytesRead;
    }
    return bytes.subarray(0, at);
  } finally {
    await handle.close();
  }
}

async function* readChunks(
  window: { path: string; offset?: number; length?: number },
  from: number,
): AsyncGenerator<Uint8Array> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(window.path, 'r');
    let at = (window.offset ?? 0) + from;
    let left = window.length === undefined ? Number.POSITIVE_INFINITY : window.length - from;
    const buffer = Buffer.allocUnsafe(copySize);
    while (left > 0) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(copySize, left), at);
      if (bytesRead === 0) {
        return; // the writer compares sizes
      }
      at += bytesRead;
      left -= bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (error) {
    throw UnpackError.fromSystem(error, window.path);
  } finally {
    await handle?.close();
  }
}
