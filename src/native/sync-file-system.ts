// Waiting until all of a file system is on its disk.

import { open } from 'node:fs/promises';
import { loadBinding } from './load.js';

/** Syncs the file system that holds a directory (syncfs(2)). */
export async function syncFileSystemOf(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await loadBinding().syncFileSystem(handle.fd);
  } finally {
    await handle.close();
  }
}
