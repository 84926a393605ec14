// How a call is watched and cancelled by its caller, whose listener may throw.

import { setMaxListeners } from 'node:events';
import { UnpackError } from '../errors.js';

/** The options of a call by which it is watched and cancelled. */
interface WatchOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: never) => void) | undefined;
}

/**
 * Runs `work` with `options` whose `onProgress` does not throw. It is called from a timer, where an error would end the
 * process: the first one cancels the call, which then fails with it.
 *
 * @throws UnpackError `ERR_INVALID_ARGUMENT` for a signal or listener that is none, and for a listener that has thrown
 */
export async function watched<Options extends WatchOptions, Result>(
  options: Options,
  work: (options: Options) => Promise<Result>,
): Promise<Result> {
  const { signal, onProgress } = options;
  if (signal && typeof signal.addEventListener !== 'function') {
    throw new UnpackError('ERR_INVALID_ARGUMENT', 'signal: is not an AbortSignal');
  }
  if (onProgress === undefined) {
    return work(options);
  }
  if (typeof onProgress !== 'function') {
    throw new UnpackError('ERR_INVALID_ARGUMENT', 'onProgress: is not a function');
  }
  // Not AbortSignal.any: a signal that outlives many calls would keep something of each.
  const controller = new AbortController();
  setMaxListeners(0, controller.signal); // as many as there are layers
  const stop = () => controller.abort(signal?.reason);
  let thrown: UnpackError | undefined;
  const guarded = (progress: never) => {
    try {
      if (thrown === undefined) {
        onProgress(progress);
      }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      thrown = new UnpackError('ERR_INVALID_ARGUMENT', `onProgress: has thrown: ${message}`, {
        cause: error,
      });
      controller.abort(error);
    }
  };
  if (signal?.aborted) {
    stop();
  }
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const result = await work({ ...options, signal: controller.signal, onProgress: guarded });
    if (thrown === undefined) {
      return result;
    }
  } catch (error) {
    throw thrown ?? error;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
  throw thrown;
}
