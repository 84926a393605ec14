// Writes one blob: into its ingest, where another call can go on with it, and at the end under its digest.

import { createHash, type Hash } from 'node:crypto';
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import type { ContentInfo, Database, LabelChanges, Time } from '../metadata/index.js';
import type { FileLock } from '../native/index.js';
import { type DigestAlgorithm, parseDigest } from '../oci/digest.js';
import { syncDirectory } from '../sync-directory.js';
import { type IngestStatus, ingestStatus, lockIngest, removeIngest } from './ingests.js';
import { blobPath, ingestDirectory, makeDurableDirectory } from './layout.js';
import { noteBlob, removeUnrecorded } from './records.js';

const readSize = 1024 * 1024;

/** What a writer is told beforehand. */
export interface WriterOptions {
  /** Bytes of the blob. What is there already of an ingest is forgotten when it has more. */
  size?: number | undefined;
  /** Of the blob. What is there already of an ingest with another one is forgotten. */
  digest?: string | undefined;
  /** False: the bytes are not hashed as they come, for a commit that is `checked`; one that is not reads them again. */
  hash?: boolean | undefined;
}

/** What is known at the end. */
export interface CommitOptions {
  size?: number | undefined;
  digest?: string | undefined;
  /** Whoever commits has compared the digest of these very bytes himself. */
  checked?: boolean | undefined;
  /** Merged into those that the blob has where it is there already. */
  labels?: LabelChanges | undefined;
  /** The id of a lease that holds the blob from the beginning. */
  lease?: string | undefined;
}

/** What a writer needs of its store. */
export interface WriterContext {
  root: string;
  database: Database;
}

/**
 * The only writer of its ref. End it with `commit`, `close` (the ingest stays, to go on with) or `abort` (it
 * does not). An error of the file system removes the ingest; calls after that fail.
 */
export class ContentWriter {
  readonly ref: string;
  readonly #context: WriterContext;
  readonly #directory: string;
  readonly #options: WriterOptions;
  readonly #lock: FileLock;
  readonly #file: FileHandle;
  readonly #startedAt: Time;
  /** Of the bytes up to the offset; undefined where nobody hashes them. */
  #hash: Hash | undefined;
  #algorithm: DigestAlgorithm;
  #offset = 0;
  #ended = false;

  private constructor(
    context: WriterContext,
    ref: string,
    options: WriterOptions,
    held: { directory: string; lock: FileLock; file: FileHandle; startedAt: Time },
  ) {
    this.#context = context;
    this.ref = ref;
    this.#options = options;
    this.#directory = held.directory;
    this.#lock = held.lock;
    this.#file = held.file;
    this.#startedAt = held.startedAt;
    this.#algorithm = algorithmOf(options.digest) ?? 'sha256';
    this.#hash = options.hash === false ? undefined : createHash(this.#algorithm);
  }

  /** Begins an ingest, or goes on with the one that there is: see `offset`. `ERR_STORE_BUSY` */
  static async open(
    context: WriterContext,
    ref: string,
    options: WriterOptions,
  ): Promise<ContentWriter> {
    const directory = ingestDirectory(context.root, ref);
    const lock = await lockIngest(directory, ref);
    let file: FileHandle | undefined;
    try {
      const found = await ingestStatus(context.root, ref);
      const resumes = found !== undefined && fits(found, options);
      const startedAt = resumes ? found.startedAt : Date.now();
      if (!resumes) {
        begin(directory, ref, startedAt, options);
      }
      file = await open(path.join(directory, 'data'), resumes ? 'r+' : 'w+', 0o600);
      const held = { directory, lock, file, startedAt };
      const writer = new ContentWriter(context, ref, options, held);
      if (options.hash === false) {
        writer.#offset = (await file.stat()).size;
      } else {
        await writer.#rehash();
      }
      return writer;
    } catch (error) {
      await file?.close().catch(() => {});
      await removeIngest(directory, lock).catch(() => {});
      throw UnpackError.fromSystem(error, directory);
    }
  }

  /** Bytes that are there: where to go on from. */
  get offset(): number {
    return this.#offset;
  }

  status(): IngestStatus {
    return {
      ref: this.ref,
      offset: this.#offset,
      total: this.#options.size,
      expected: this.#options.digest,
      startedAt: this.#startedAt,
      updatedAt: Date.now(),
    };
  }

  /**
   * Appends. One call at a time; the bytes must stay as they are until it is done.
   *
   * @throws UnpackError `ERR_SIZE_MISMATCH` beyond the size, `ERR_NO_SPACE`, `ERR_IO`; the ingest is gone then
   */
  async write(...chunks: readonly Uint8Array[]): Promise<void> {
    this.#check();
    const { size } = this.#options;
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (size !== undefined && this.#offset + length > size) {
      await this.abort();
      throw new UnpackError('ERR_SIZE_MISMATCH', `ref ${this.ref}: is longer than ${size} bytes`);
    }
    await this.#guard(() => writeFully(this.#file, chunks, this.#offset));
    for (const chunk of chunks) {
      this.#hash?.update(chunk);
    }
    this.#offset += length;
  }

  /** The bytes that are there, from the first on. Nothing may be written meanwhile. */
  async *readBack(): AsyncGenerator<Buffer> {
    this.#check();
    const end = this.#offset;
    for (let at = 0; at < end; ) {
      const buffer = Buffer.allocUnsafe(Math.min(readSize, end - at));
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) {
        throw new UnpackError('ERR_IO', `ref ${this.ref}: ends before ${end} bytes`);
      }
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** Forgets what is there. */
  async reset(): Promise<void> {
    this.#check();
    await this.#guard(() => this.#file.truncate(0));
    this.#offset = 0;
    this.#hash &&= createHash(this.#algorithm);
  }

  /**
   * Checks size and digest, puts the blob under its digest, on the disk, and notes it in the metadata. Where it is
   * there already (somebody was quicker), that one stays and has the labels merged into it.
   *
   * @throws UnpackError `ERR_SIZE_MISMATCH`, `ERR_DIGEST_MISMATCH`, `ERR_NO_SPACE`, `ERR_IO`; the ingest is gone then
   */
  async commit(options: CommitOptions = {}): Promise<ContentInfo> {
    this.#check();
    const size = options.size ?? this.#options.size ?? this.#offset;
    const expected = options.digest ?? this.#options.digest;
    return this.#guard(async () => {
      if (this.#offset !== size) {
        const has = `has ${this.#offset} bytes, not ${size}`;
        throw new UnpackError('ERR_SIZE_MISMATCH', `ref ${this.ref}: ${has}`);
      }
      const digest =
        options.checked && expected !== undefined ? expected : await this.#digest(expected);
      if (expected !== undefined && digest !== expected) {
        const has = `has the digest ${digest}, not ${expected}`;
        throw new UnpackError('ERR_DIGEST_MISMATCH', `ref ${this.ref}: ${has}`);
      }
      const blob = blobPath(this.#context.root, digest);
      await this.#file.chmod(0o444);
      await this.#file.sync();
      await makeDurableDirectory(path.dirname(blob));
      const info = this.#publish(digest, blob, options);
      await this.#end();
      return info;
    });
  }

  /** Ends it; the ingest stays. May be called twice. */
  async close(): Promise<void> {
    if (!this.#ended) {
      this.#ended = true;
      await this.#file.close().catch(() => {});
      await this.#lock.release();
    }
  }

  /** Ends it and removes the ingest. May be called twice. */
  async abort(): Promise<void> {
    if (!this.#ended) {
      await this.#end();
    }
  }

  #publish(digest: string, blob: string, { labels, lease }: CommitOptions): ContentInfo {
    const { root, database } = this.#context;
    try {
      return database.update((tx) => {
        if (!tx.content.has(digest) || !existsSync(blob)) {
          renameSync(path.join(this.#directory, 'data'), blob);
          syncDirectory(path.dirname(blob));
        }
        return noteBlob(tx, { digest, size: this.#offset, labels, lease });
      });
    } catch (error) {
      try {
        removeUnrecorded(database, root, [digest]);
      } catch {
        // What is left is swept; the first error is the one to tell.
      }
      throw error;
    }
  }

  /** Of the bytes that are there, by the algorithm of the expected one. */
  async #digest(expected: string | undefined): Promise<string> {
    const algorithm = algorithmOf(expected) ?? this.#algorithm;
    let hash = this.#hash;
    if (hash === undefined || algorithm !== this.#algorithm) {
      this.#algorithm = algorithm;
      hash = await this.#rehash();
    }
    return `${algorithm}:${hash.digest('hex')}`;
  }

  /** Reads what is in the file and hashes it. */
  async #rehash(): Promise<Hash> {
    const hash = createHash(this.#algorithm);
    this.#hash = hash;
    this.#offset = 0;
    const buffer = Buffer.allocUnsafe(readSize);
    for (;;) {
      const { bytesRead } = await this.#file.read(buffer, 0, readSize, this.#offset);
      if (bytesRead === 0) {
        return hash;
      }
      hash.update(buffer.subarray(0, bytesRead));
      this.#offset += bytesRead;
    }
  }

  /** Runs a step; when it fails, the ingest goes. */
  async #guard<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      await this.abort().catch(() => {});
      throw UnpackError.fromSystem(error, this.#directory);
    }
  }

  async #end(): Promise<void> {
    this.#ended = true;
    await this.#file.close().catch(() => {});
    await removeIngest(this.#directory, this.#lock);
  }

  #check(): void {
    if (this.#ended) {
      throw new UnpackError('ERR_INVALID_ARGUMENT', `ref ${this.ref}: the writer has ended`);
    }
  }
}

/** A write may be short: what is left is written again. */
async function writeFully(
  file: FileHandle,
  chunks: readonly Uint8Array[],
  offset: number,
): Promise<void> {
  let left = chunks.filter((chunk) => chunk.length > 0);
  for (let at = offset; left.length > 0; ) {
    let { bytesWritten } = await file.writev(left, at);
    at += bytesWritten;
    while (left[0] !== undefined && bytesWritten >= left[0].length) {
      bytesWritten -= left[0].length;
      left = left.slice(1);
    }
    if (left[0] !== undefined && bytesWritten > 0) {
      left = [left[0].subarray(bytesWritten), ...left.slice(1)];
    }
  }
}

function algorithmOf(digest: string | undefined): DigestAlgorithm | undefined {
  return digest === undefined ? undefined : parseDigest(digest)?.algorithm;
}

/** Whether what is there can be the beginning of what is wanted. */
function fits(found: IngestStatus, { size, digest }: WriterOptions): boolean {
  return (
    (digest === undefined || found.expected === undefined || found.expected === digest) &&
    (size === undefined || found.offset <= size)
  );
}

/** Small files, at once: to hand each to another thread takes longer than to write it. */
function begin(
  directory: string,
  ref: string,
  startedAt: Time,
  { size, digest }: WriterOptions,
): void {
  const write = (name: string, text: string) => writeFileSync(path.join(directory, name), text);
  writeFileSync(path.join(directory, 'data'), '', { mode: 0o600 });
  write('total', size === undefined ? '' : String(size));
  write('expected', digest ?? '');
  write('startedat', new Date(startedAt).toISOString());
  write('ref', ref);
}
