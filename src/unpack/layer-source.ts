// Where the bytes of a single layer come from. A path or descriptor goes straight to the addon; all else
// is fed to it chunk by chunk, with its backpressure.

import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { UnpackError } from '../errors.js';
import type { LayerJob, LayerOptions } from '../native/index.js';
import { JobFeed, sliceBytes } from './job-feed.js';
import type { Spool } from './spool.js';

/**
 * A layer's blob: the path or `file:` URL of a file, a file descriptor (read from its position on, left open), the
 * bytes themselves, a Node or web stream of bytes, or any async iterable of them.
 */
export type LayerSource =
  | string
  | URL
  | number
  | Uint8Array
  | Readable
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>;

/** What chunks are read from. */
export interface ChunkReader {
  next(): Promise<IteratorResult<unknown>>;
  /** Stops the source, even while a `next` is pending. */
  close(): void;
}

/** A source told apart: what the addon reads by itself, or chunks to feed. */
export type OpenedSource =
  | { native: Exclude<LayerOptions['source'], { stream: true }>; name: string }
  | { native: { stream: true }; chunks: ChunkReader; name: string };

/** Tells the kinds of source apart; `ERR_INVALID_ARGUMENT` for anything else. */
export function openLayerSource(source: LayerSource): OpenedSource {
  if (typeof source === 'string') {
    return { native: { path: source }, name: source };
  }
  if (source instanceof URL) {
    const file = fileURLToPath(source);
    return { native: { path: file }, name: file };
  }
  if (typeof source === 'number') {
    return { native: { fd: source }, name: `fd ${source}` };
  }
  const native = { stream: true } as const;
  if (source instanceof Uint8Array) {
    return { native, chunks: iteratorReader(slices(source)), name: 'buffer' };
  }
  if (source instanceof Readable) {
    const close = () => void source.destroy();
    return { native, chunks: { ...iteratorReader(source), close }, name: 'stream' };
  }
  if (source instanceof ReadableStream) {
    return { native, chunks: webReader(source), name: 'web stream' };
  }
  if (typeof source?.[Symbol.asyncIterator] === 'function') {
    return { native, chunks: iteratorReader(source), name: 'async iterable' };
  }
  throw new UnpackError(
    'ERR_INVALID_ARGUMENT',
    'source: is not a path, file descriptor, Uint8Array, stream of bytes or async iterable',
  );
}

/**
 * Feeds a job until the source ends or the job is over. Resolves to the source's own error, if that
 * is what ended it. `spool`: keeps the bytes, for a second reading.
 */
export async function feedJob(job: LayerJob, chunks: ChunkReader, spool?: Spool): Promise<unknown> {
  let wake: () => void = () => undefined;
  const feed = new JobFeed(job, () => wake());
  // Not Promise.race() with job.done, which would keep every chunk until the job ends.
  const next = () =>
    new Promise<IteratorResult<unknown> | undefined>((resolve, reject) => {
      wake = () => feed.over && resolve(undefined);
      wake();
      chunks.next().then(resolve, reject);
    });
  try {
    for (;;) {
      const result = await next();
      if (feed.over || result === undefined) {
        return undefined;
      }
      if (result.done) {
        feed.end();
        return undefined;
      }
      if (!(result.value instanceof Uint8Array)) {
        throw new TypeError(`the source gave a ${typeof result.value}, not bytes`);
      }
      await spool?.write(result.value);
      await feed.write(result.value);
      if (feed.over) {
        return undefined;
      }
    }
  } catch (error) {
    job.fail(error instanceof Error ? error.message : String(error));
    return error;
  } finally {
    chunks.close();
  }
}

function* slices(bytes: Uint8Array): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    yield bytes.subarray(at, at + sliceBytes);
  }
}

/** Chunks as they are given. */
export function iteratorReader(source: AsyncIterable<unknown> | Iterable<unknown>): ChunkReader {
  const iterator =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  return {
    next: async () => iterator.next(),
    close: () => {
      // Not awaited: a generator that waits for its own source answers only when that does.
      Promise.resolve(iterator.return?.()).catch(() => undefined);
    },
  };
}

function webReader(source: ReadableStream<Uint8Array>): ChunkReader {
  const reader = source.getReader();
  return {
    next: async () => reader.read() as Promise<IteratorResult<unknown>>,
    close: () => void reader.cancel().catch(() => undefined),
  };
}
