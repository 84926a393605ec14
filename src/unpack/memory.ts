// The memory that all unpacks of this process share.

import { UnpackError } from '../errors.js';
import { loadBinding } from '../native/index.js';

/** Bytes that may be held until {@link setMemoryBudget} says otherwise. */
export const defaultMemoryBudget: number = 128 * 2 ** 20;

/**
 * Bounds the uncompressed bytes that all unpacks of this process hold between decoding and writing; who finds none left
 * waits. Default 128 MiB. Less saves memory and costs speed where many layers are unpacked at once.
 *
 * @param bytes at least 1 MiB.
 * @throws UnpackError `ERR_INVALID_ARGUMENT`
 */
export function setMemoryBudget(bytes: number): void {
  if (!Number.isSafeInteger(bytes) || bytes < 2 ** 20) {
    throw new UnpackError(
      'ERR_INVALID_ARGUMENT',
      `memory budget: ${bytes} is not a whole number from ${2 ** 20}`,
    );
  }
  loadBinding().setMemoryBudget(bytes);
}
