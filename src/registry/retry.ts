// Tries again what may pass, with a growing and jittered delay.

import { setTimeout as sleep } from 'node:timers/promises';
import { UnpackError } from '../errors.js';
import { TransientFailure } from './failure.js';

/** How often, and after how long, something is tried again. */
export interface RetryPolicy {
  /** Tries that fail without any progress before it is given up. */
  attempts: number;
  /** Milliseconds before the second try; doubles with each. */
  baseDelay: number;
  /** The longest of these delays, and the longest Retry-After that is waited for. */
  maxDelay: number;
  maxRetryAfter: number;
}

export const defaultRetryPolicy: RetryPolicy = {
  attempts: 6,
  baseDelay: 200,
  maxDelay: 10_000,
  maxRetryAfter: 120_000,
};

/** Runs `work` until it succeeds, or fails for good; with its number of failures so far. */
export async function withRetries<T>(
  policy: RetryPolicy,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await work();
    } catch (caught) {
      await pauseOrThrow(policy, failures, caught, signal);
    }
  }
}

/** Waits before another try; throws where there shall be none: not transient, too often, too long a wait, cancelled. */
export async function pauseOrThrow(
  policy: RetryPolicy,
  failures: number,
  caught: unknown,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (!(caught instanceof TransientFailure)) {
    throw caught;
  }
  const { error, retryAfter } = caught;
  if (signal?.aborted || failures >= policy.attempts) {
    throw error;
  }
  if (retryAfter !== undefined && retryAfter > policy.maxRetryAfter) {
    throw error;
  }
  const longest = Math.min(policy.baseDelay * 2 ** (failures - 1), policy.maxDelay);
  // Half of it at random: those who failed together shall not come back together.
  const backoff = longest * (0.5 + Math.random() / 2);
  // No less: a registry may say 0, or a time that has passed by our clock, and use up all tries at once.
  const delay = Math.max(retryAfter ?? 0, backoff);
  try {
    await sleep(delay, undefined, signal === undefined ? {} : { signal });
  } catch (cause) {
    throw new UnpackError('ERR_ABORTED', 'cancelled', { cause });
  }
}

/** Milliseconds of a Retry-After header: seconds or a date (RFC 9110 section 10.2.3). */
export function parseRetryAfter(value: string | undefined, now = Date.now()): number | undefined {
  if (value === undefined) {
    return undefined;
  }
  if (/^\d{1,9}$/.test(value.trim())) {
    return Number(value) * 1000;
  }
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
