// tar-stream is an optional dependency: only the demo and the bench use it.

import { UnpackError } from '../index.js';

/** The module tar-stream; throws an UnpackError that says how to get it. */
export async function loadTarStream(): Promise<typeof import('tar-stream')> {
  try {
    return await import('tar-stream');
  } catch (error) {
    throw new UnpackError(
      'ERR_UNSUPPORTED',
      'the demo and the bench need the optional dependency tar-stream: npm install tar-stream@3',
      { cause: error },
    );
  }
}
