// Looks at what a contender wrote: layers with whiteouts as files, one directory, or directories for overlayfs.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { addXattrs, scanDirectory, scanLayers } from '../demo/scan.js';
import type { Tolerance } from '../demo/tree.js';
import { unmount } from '../index.js';
import { loadBinding } from '../native/index.js';
import type { View } from './contender.js';

/** Where layer number `index` goes below `destination`, for contenders that write one directory for each layer. */
export function layerDirectory(destination: string, index: number): string {
  return path.join(destination, String(index).padStart(3, '0'));
}

/** Layers that have whiteouts as `.wh.` files, merged here. */
export async function viewLayers(
  destination: string,
  layers: number,
  tolerance: Tolerance,
  signal?: AbortSignal,
): Promise<View> {
  const directories = Array.from({ length: layers }, (_, index) =>
    layerDirectory(destination, index),
  );
  return { tree: await scanLayers(directories, signal), tolerance };
}

/** One merged directory, with the xattrs of `xattrs`. */
export async function viewDirectory(
  directory: string,
  xattrs: string[],
  signal?: AbortSignal,
): Promise<View> {
  const tree = await scanDirectory(directory, signal);
  const seen = await addXattrs(tree, directory, xattrs);
  return { tree, tolerance: { xattrs: !seen } };
}

/** Directories in overlayfs's own form, top first, seen through a mount at `target`. */
export async function viewOverlay(
  lowers: string[],
  target: string,
  xattrs: string[],
  signal?: AbortSignal,
): Promise<View> {
  await mkdir(target, { recursive: true });
  const [only, ...others] = lowers;
  if (only !== undefined && others.length === 0) {
    return viewDirectory(only, xattrs, signal); // overlayfs wants two
  }
  await loadBinding().mountOverlay({ lowers, target, userxattr: false });
  try {
    return await viewDirectory(target, xattrs, signal);
  } finally {
    await unmount(target);
  }
}

/** The same view for who leaves the root as the snapshotter made it. */
export function rootApart({ tree, tolerance }: View): View {
  return { tree, tolerance: { ...tolerance, root: true } };
}
