// Starts one layer's job in the addon and turns what it gives back into our report and errors.

import { UnpackError } from '../errors.js';
import type { LayerOptions, SettleResult } from '../native/index.js';
import type { ResolvedOptions } from './options.js';
import type { LayerReport } from './report.js';

/** The options of a job, but for its source and directory. */
export function jobOptions(
  options: ResolvedOptions,
): Pick<LayerOptions, 'format' | 'policies' | 'limits'> {
  return { format: options.format, policies: options.policies, limits: options.limits };
}

/** The report of a settled layer. */
export function layerReport(
  identity: Pick<LayerReport, 'mediaType' | 'chainID' | 'path'>,
  settled: Pick<SettleResult, 'layer' | 'replanned' | 'notes'>,
): LayerReport {
  const result = settled.layer;
  return {
    digest: result.digest,
    mediaType: identity.mediaType,
    size: result.size,
    diffID: result.diffID,
    chainID: identity.chainID,
    path: identity.path,
    compression: result.compression,
    decoder: result.decoder,
    uncompressedSize: result.uncompressedSize,
    counts: { ...result.counts },
    times: { ...result.times },
    replanned: settled.replanned,
    warnings: settled.notes,
  };
}

/** Runs `work` and calls `cancel` when `signal` fires before it ends. */
export async function withSignal<T>(
  signal: AbortSignal | undefined,
  cancel: () => void,
  work: () => Promise<T>,
): Promise<T> {
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    return await work();
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

/** Throws `ERR_ABORTED` when `signal` has fired. */
export function throwIfAborted(signal: AbortSignal | undefined, what?: string): void {
  if (signal?.aborted) {
    throw abortError(signal, what);
  }
}

/** The error of a call that `signal` cancelled. */
export function abortError(signal: AbortSignal, what = 'the unpack'): UnpackError {
  return new UnpackError('ERR_ABORTED', `${what} was cancelled`, { cause: signal.reason });
}
