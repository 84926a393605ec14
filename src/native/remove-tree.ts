// Removes what a layer left, of any depth: paths beyond PATH_MAX and directories without permissions, on
// which fs.rm gives up.

import { lstat } from 'node:fs/promises';
import { UnpackError } from '../errors.js';
import { loadBinding } from './load.js';

/**
 * Removes `file` and all below it, crossing no mount and following no symlink; nothing there is fine.
 *
 * @throws UnpackError `ERR_PERMISSION`, `ERR_IO`
 */
export async function removeTree(file: string): Promise<void> {
  try {
    await lstat(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return;
    }
    throw UnpackError.fromSystem(error, file);
  }
  try {
    await loadBinding().removeTree(file);
  } catch (error) {
    throw UnpackError.from(error);
  }
}
