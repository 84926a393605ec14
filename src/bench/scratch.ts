// A scratch directory for the time of a call, gone afterwards also when the call fails or is cancelled.

import { UnpackError } from '../index.js';
import { makeScratchDirectory } from './file-system.js';

/** Runs `body` with an empty directory, made in `parent` or in the best place for it. */
export async function withScratch<T>(
  parent: string | undefined,
  signal: AbortSignal | undefined,
  body: (scratch: string) => Promise<T>,
): Promise<T> {
  const scratch = await makeScratchDirectory(parent);
  try {
    return await body(scratch.path);
  } catch (error) {
    if (signal?.aborted && !(error instanceof UnpackError)) {
      throw new UnpackError('ERR_ABORTED', 'cancelled', { cause: error });
    }
    throw UnpackError.from(error);
  } finally {
    await scratch.remove();
  }
}
