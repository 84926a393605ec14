// The bytes of a blob from an offset on, in order, whatever breaks on the way: a connection that is cut or stalls is
// begun again where it stopped. Big blobs are read in several ranges at once, each held until its turn.

import { setMaxListeners } from 'node:events';
import { UnpackError } from '../errors.js';
import type { Descriptor } from '../oci/index.js';
import type { TakePiece } from './body.js';
import type { RegistryClient } from './client.js';
import { TransientFailure } from './failure.js';
import { Pace } from './pace.js';
import { pauseOrThrow } from './retry.js';
import { type Answer, headerOf } from './transport.js';

export interface BlobReadOptions {
  /** Bytes that are there already. */
  from: number;
  /** Ranges at once. */
  ranges: number;
  /** Bytes per second: only where one connection gives less; where it is not given, in any case. */
  onlyBelow?: number | undefined;
  /** Also from the `urls` of the descriptor, where the registry has no such blob. */
  foreign?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Called with the bytes of each piece that has arrived, also of those that are thrown away. */
  onReceived?: ((bytes: number) => void) | undefined;
  /** Called when a broken download is begun again. */
  onResumed?: ((offset: number) => void) | undefined;
}

/** Bytes of one of several ranges. */
const rangeBytes = 4 * 1024 * 1024;
/** Connections for one blob, so that a server which gives a byte at a time comes to an end. */
const mostConnections = 10_000;

/**
 * Takes bytes. What comes from the network is copied before it returns; a range that was read ahead may be used again when
 * its promise is kept. Until then no more come.
 */
export type TakeBytes = (bytes: Buffer) => Promise<void> | undefined;

/**
 * Gives the bytes of a blob to `take`, one piece at a time, until all are there.
 *
 * @throws UnpackError `ERR_BLOB_NOT_FOUND`, `ERR_SIZE_MISMATCH`, `ERR_ABORTED`, and those of every request; what `take`
 *   throws
 */
export async function readBlob(
  client: RegistryClient,
  descriptor: Descriptor,
  options: BlobReadOptions,
  take: TakeBytes,
): Promise<void> {
  const { from, ranges, onlyBelow } = options;
  const { size } = descriptor;
  if (from >= size) {
    return;
  }
  if (ranges <= 1 || size - from <= rangeBytes) {
    await readSpan(client, descriptor, options, { from, to: size, take });
    return;
  }
  const stop = new AbortController();
  setMaxListeners(0, stop.signal); // one for each range
  const onAbort = () => stop.abort(options.signal?.reason);
  options.signal?.addEventListener('abort', onAbort, { once: true });
  if (options.signal?.aborted) {
    onAbort();
  }
  const inner = { ...options, signal: stop.signal };
  const waiting: Promise<Buffer>[] = [];
  const spare: Buffer[] = [];
  let next = Math.min(from + rangeBytes, size);
  const fill = () => {
    while (waiting.length < ranges - 1 && next < size) {
      const span = { from: next, to: Math.min(next + rangeBytes, size) };
      const range = collect(client, descriptor, inner, span, spare.pop());
      range.catch(() => undefined); // it is looked at in its turn
      waiting.push(range);
      next = span.to;
    }
  };
  try {
    let whole = false;
    const pace = new Pace();
    // The first goes straight through, and tells whether the registry knows ranges: else it has everything.
    await readSpan(client, descriptor, inner, {
      from,
      to: next,
      rest: size,
      take: (bytes) => {
        pace.came(bytes.length);
        if (!whole && (onlyBelow === undefined || (pace.rate ?? onlyBelow) < onlyBelow)) {
          fill();
        }
        const taken = take(bytes);
        if (taken === undefined) {
          pace.waits();
        }
        return taken?.then(() => pace.waits());
      },
      onWhole: () => {
        whole = true;
      },
    });
    if (whole) {
      return;
    }
    if (onlyBelow !== undefined && waiting.length === 0) {
      await readSpan(client, descriptor, inner, { from: next, to: size, take });
      return;
    }
    for (;;) {
      fill();
      const range = waiting.shift();
      if (range === undefined) {
        return;
      }
      const bytes = await range;
      await take(bytes);
      spare.push(bytes);
    }
  } finally {
    options.signal?.removeEventListener('abort', onAbort);
    stop.abort();
    await Promise.allSettled(waiting);
  }
}

interface Span {
  from: number;
  /** Exclusive. */
  to: number;
  take: TakeBytes;
  /** Where the blob ends, when a registry without ranges may go on to there; then `onWhole` is called. */
  rest?: number;
  onWhole?(): void;
}

async function readSpan(
  client: RegistryClient,
  descriptor: Descriptor,
  options: BlobReadOptions,
  span: Span,
): Promise<void> {
  const { signal, onReceived, onResumed } = options;
  const { size, digest } = descriptor;
  const { take, rest } = span;
  let { from: at, to } = span;
  let failures = 0;
  for (let connections = 0; at < to; connections++) {
    if (connections > 0) {
      onResumed?.(at);
    }
    try {
      const ranged = at > 0 || to < size;
      // An open end where there is one: it says the same, and some registries know only that.
      const range = ranged ? { from: at, to: to < size ? to - 1 : undefined } : undefined;
      const answer = await open(client, descriptor, range, options);
      let skip = checkRange(answer, descriptor, range);
      if (answer.status === 200 && rest !== undefined && to < rest) {
        to = rest;
        span.onWhole?.();
      }
      const takePiece: TakePiece = (piece) => {
        onReceived?.(piece.length);
        const skipped = Math.min(skip, piece.length);
        skip -= skipped;
        const left = piece.length - skipped;
        if (at + left > to && to === size) {
          throw sizeMismatch(descriptor, `has more than ${size} bytes`);
        }
        const length = Math.min(left, to - at);
        if (length < left && length === 0) {
          return 'enough'; // more than was asked for
        }
        if (length === 0) {
          return undefined;
        }
        failures = 0;
        at += length;
        return take(length === piece.length ? piece : piece.subarray(skipped, skipped + length));
      };
      await answer.body.read(takePiece);
      if (at < to) {
        const text = `blob ${digest}: the connection ended after ${at} of ${size} bytes`;
        throw new TransientFailure(new UnpackError('ERR_REGISTRY_UNREACHABLE', text));
      }
    } catch (caught) {
      if (at === to && caught instanceof TransientFailure) {
        return; // it broke, or stalled, with all that was asked for here
      }
      failures++;
      if (connections >= mostConnections && caught instanceof TransientFailure) {
        throw caught.error;
      }
      await pauseOrThrow(client.retry, failures, caught, signal);
    }
  }
}

/** The registry's blob, or, where it has none and that is allowed, the first of its other places that answers. */
async function open(
  client: RegistryClient,
  { digest, urls = [] }: Descriptor,
  range: { from: number; to?: number | undefined } | undefined,
  { signal, foreign }: BlobReadOptions,
): Promise<Answer> {
  try {
    return await client.openBlob(digest, range, signal);
  } catch (error) {
    const absent = error instanceof UnpackError && error.code === 'ERR_BLOB_NOT_FOUND';
    if (!absent || !foreign) {
      throw error;
    }
    for (const text of urls) {
      const url = URL.canParse(text) ? new URL(text) : undefined;
      if (url !== undefined && /^https?:$/.test(url.protocol)) {
        url.username = '';
        url.password = '';
        try {
          return await client.openForeign(url, range, signal);
        } catch (other) {
          if (signal?.aborted || other instanceof TransientFailure) {
            throw other;
          }
        }
      }
    }
    throw error;
  }
}

/** Bytes to skip, since the answer begins too early. */
function checkRange(
  answer: Answer,
  descriptor: Descriptor,
  range: { from: number; to?: number | undefined } | undefined,
): number {
  const { size } = descriptor;
  const fail = (problem: string): never => {
    answer.body.discard();
    throw sizeMismatch(descriptor, problem);
  };
  if (answer.status === 206 && range !== undefined) {
    const said = headerOf(answer, 'content-range') ?? '';
    const [, from, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(said) ?? [];
    if (from === undefined || Number(from) !== range.from) {
      fail(`was asked for from byte ${range.from}, and came as ${JSON.stringify(said)}`);
    }
    if (total !== '*' && Number(total) !== size) {
      fail(`has ${total} bytes in the registry, its descriptor says ${size}`);
    }
    return 0;
  }
  const length = headerOf(answer, 'content-length');
  if (length !== undefined && Number(length) !== size) {
    fail(`has ${length} bytes in the registry, its descriptor says ${size}`);
  }
  return range?.from ?? 0;
}

/** Reads a range ahead of its turn, into `buffer` where that has its size. */
async function collect(
  client: RegistryClient,
  descriptor: Descriptor,
  options: BlobReadOptions,
  { from, to }: { from: number; to: number },
  buffer?: Buffer,
): Promise<Buffer> {
  const length = to - from;
  const all = buffer?.length === length ? buffer : Buffer.allocUnsafeSlow(length);
  let filled = 0;
  const take = (bytes: Buffer) => {
    filled += bytes.copy(all, filled);
    return undefined;
  };
  await readSpan(client, descriptor, options, { from, to, take });
  return all;
}

function sizeMismatch({ digest }: Descriptor, problem: string): UnpackError {
  return new UnpackError('ERR_SIZE_MISMATCH', `blob ${digest}: ${problem}`, { layer: digest });
}
