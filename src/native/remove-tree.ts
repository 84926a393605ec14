// Removes what a layer left, of any depth: paths beyond PATH_MAX and directories without permissions, on
// which fs.rm gives up.

import { lstat } from 'node:fs/promises';
import { loadBinding } from './load.js';

/** Removes `file` and all below it, crossing no mount and following no symlink; nothing there is fine. */
export async function removeTree(file: string): Promise<void> {
  const there = await lstat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
  );
  if (there) {
    await loadBinding().removeTree(file);
  }
}
