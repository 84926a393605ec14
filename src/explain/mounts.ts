// Mounting for a moment, and what is seen then: directories are unmounted again whatever happens.

import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { loadBinding } from '../native/index.js';
import { overlayHasIndex } from '../snapshots/index.js';

/** What there is to mount. */
export interface OverlayParts {
  /** Top first. */
  lowers: readonly string[];
  upper?: string;
  /** With `upper`: empty, on its file system. */
  work?: string;
  userxattr: boolean;
}

/** Runs `body` with an overlay mounted at `target`, which is made. `index=off`, as containerd mounts. */
export async function withOverlay<T>(
  parts: OverlayParts,
  target: string,
  body: () => Promise<T>,
): Promise<T> {
  const binding = loadBinding();
  await mkdir(target, { recursive: true });
  try {
    await binding.mountOverlay({
      lowers: [...parts.lowers],
      upper: parts.upper,
      work: parts.work,
      target,
      userxattr: parts.userxattr,
      options: parts.upper !== undefined && overlayHasIndex() ? ['index=off'] : [],
    });
  } catch (error) {
    throw UnpackError.from(error);
  }
  try {
    return await body();
  } finally {
    await binding.unmount({ target, lazy: false });
  }
}

/** All paths below `root`, relative and sorted. */
export async function listTree(root: string): Promise<string[]> {
  const found = await readdir(root, { recursive: true });
  return found.map((name) => name.split(path.sep).join('/')).sort();
}
