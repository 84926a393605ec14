// fsync(2) of a directory: a name that was made, moved or removed in it is on the disk then.

import { closeSync, fsyncSync, openSync } from 'node:fs';

/** @throws a system error */
export function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
