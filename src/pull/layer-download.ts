// One layer on its way from the registry: its bytes go into the ingest of the content store and, as they come, into the
// job that unpacks it. The slower of the two sets the pace, down to the socket. What an earlier call had
// downloaded is fed to the job from the ingest, and the network goes on from there.

import type { ContentWriter } from '../content/index.js';
import { UnpackError } from '../errors.js';
import type { LayerJob } from '../native/index.js';
import type { Descriptor } from '../oci/index.js';
import type { Slots } from '../slots.js';
import { JobFeed } from '../unpack/job-feed.js';
import { throwIfAborted } from '../unpack/layer-run.js';
import { GatheredWrites } from './gathered-writes.js';

/** What a download works with. */
export interface LayerDownload {
  descriptor: Descriptor;
  /** The only writer of the blob's ingest; where there is a job, without a hash of its own. */
  writer: ContentWriter;
  /** Gives the bytes from an offset on to `take`, no more before its promise is kept. */
  read: (
    from: number,
    signal: AbortSignal,
    take: (bytes: Buffer) => Promise<void> | undefined,
  ) => Promise<void>;
  /** Of downloads that have ended; see {@link GatheredWrites}. */
  buffers: Buffer[];
  /** How many read at once. */
  slots: Slots;
  /** Stops it; the ingest stays. */
  signal: AbortSignal;
  /** A lease that holds the blob from its beginning. */
  lease: string;
}

/** Errors that say that the bytes themselves may be wrong: what is there of them is not gone on with. */
const damaged: ReadonlySet<string> = new Set([
  'ERR_DIGEST_MISMATCH',
  'ERR_SIZE_MISMATCH',
  'ERR_DIFFID_MISMATCH',
  'ERR_TRUNCATED',
  'ERR_INVALID_GZIP',
  'ERR_INVALID_ZSTD',
  'ERR_UNKNOWN_COMPRESSION',
  'ERR_TRAILING_GARBAGE',
  'ERR_INVALID_TAR',
  'ERR_INVALID_ENTRY',
  'ERR_LIMIT_EXCEEDED', // a changed byte may ask for a window, or a size, beyond all bounds
]);

/** Whether an error says that the bytes of a blob may not be the right ones. */
export function isDamage(error: unknown): boolean {
  return damaged.has(UnpackError.from(error).code);
}

/**
 * Downloads the rest of a blob into its ingest and commits it; the bytes, from the first on, also go to `job`. When it
 * fails, the ingest stays unless its bytes may be wrong.
 *
 * @throws UnpackError what the source throws; `ERR_DIGEST_MISMATCH`, `ERR_SIZE_MISMATCH`; the job's own error
 */
export async function downloadLayer(download: LayerDownload, job?: LayerJob): Promise<void> {
  const { descriptor, writer, read, slots, signal, lease } = download;
  const { digest, size } = descriptor;
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const file = new GatheredWrites(writer, download.buffers);
  let feed: JobFeed | undefined;
  try {
    throwIfAborted(signal);
    feed = job && new JobFeed(job, () => feed?.error !== undefined && stop.abort());
    if (feed !== undefined) {
      for await (const chunk of writer.readBack()) {
        await feed.write(chunk);
        throwIfAborted(stop.signal);
      }
    }
    await slots.run(stop.signal, () =>
      read(writer.offset, stop.signal, (bytes) => {
        throwIfAborted(stop.signal);
        const written = file.write(bytes);
        const fed = feed?.write(bytes);
        return written && fed
          ? Promise.all([written, fed]).then(() => undefined)
          : (written ?? fed);
      }),
    );
    throwIfAborted(stop.signal);
    feed?.end();
    await file.flush();
    // The job has compared the digest of the same bytes.
    await job?.done;
    await writer.commit({ digest, size, lease, checked: job !== undefined });
  } catch (caught) {
    const error = UnpackError.from(feed?.error ?? caught, digest);
    if (isDamage(error)) {
      await writer.abort();
    } else {
      await file.flush().catch(() => undefined); // what has come shall not have to come again
      await writer.close();
    }
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    feed?.close();
  }
}
