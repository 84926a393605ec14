import { describe, expect, it } from 'vitest';
import { UnpackError } from '../../src/errors.js';
import { TransientFailure } from '../../src/registry/failure.js';
import { withRetries } from '../../src/registry/retry.js';

const policy = { attempts: 4, baseDelay: 20, maxDelay: 40, maxRetryAfter: 100 };

/** Fails every time; how often it was tried, and how long that took. */
async function exhaust(retryAfter: number | undefined) {
  let tries = 0;
  const started = performance.now();
  const error = new UnpackError('ERR_RATE_LIMITED', 'slower');
  const work = () => {
    tries++;
    return Promise.reject(new TransientFailure(error, retryAfter));
  };
  await expect(withRetries(policy, undefined, work)).rejects.toBe(error);
  return { tries, milliseconds: performance.now() - started };
}

describe('tries', () => {
  // The least of three delays: half of 20, 40 and 40.
  it.each([undefined, 0])('are delayed when Retry-After is %s', async (retryAfter) => {
    const { tries, milliseconds } = await exhaust(retryAfter);
    expect(tries).toBe(policy.attempts);
    expect(milliseconds).toBeGreaterThan(45);
  });

  it('are as late as Retry-After says, and none where that is too late', async () => {
    expect((await exhaust(50)).milliseconds).toBeGreaterThan(145);
    expect((await exhaust(101)).tries).toBe(1);
  });
});
