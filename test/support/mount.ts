// Shows an unpacked image as a user of it would see it: overlayfs mounted by the kernel from the `mounts` of
// image.json, the aufs view, or the one directory of `flat`.

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { aufsView } from './aufs-view.js';
import { type Inspector, inspector } from './inspector.js';
import { scratchRoot } from './scratch.js';
import type { Tree } from './tree.js';
import { dumpTree } from './tree-dump.js';

interface Mount {
  type: string;
  source: string;
  options: string[];
}

/** The part of image.json that says how to read the result. */
export interface MountableImage {
  destination: string;
  format: string;
  layers: readonly { path: string }[];
  mounts: readonly Mount[];
}

/** Mounts at `target` (in the inspector's mount namespace), runs `work`, takes the mount away. */
export async function withMount<T>(
  mount: Mount,
  target: string,
  work: () => Promise<T>,
  at: Inspector = inspector(),
): Promise<T> {
  await at.request({ op: 'mount', ...mount, target });
  try {
    return await work();
  } finally {
    await at.request({ op: 'umount', target });
  }
}

/** The tree that `image` shows. A single layer is mounted as an overlay too, over nothing. */
export async function dumpImage(image: MountableImage, at?: Inspector): Promise<Tree> {
  const options = at === undefined ? {} : { inspector: at };
  if (image.format === 'flat') {
    return dumpTree(path.join(image.destination, 'rootfs'), options);
  }
  if (image.format === 'aufs') {
    const branches = image.layers.map((layer) => path.join(image.destination, layer.path));
    return aufsView(await Promise.all(branches.map((branch) => dumpTree(branch, options))));
  }
  const [mount] = image.mounts;
  if (mount === undefined) {
    throw new Error('an image without layers has nothing to mount');
  }
  const scratch = await mkdtemp(path.join(scratchRoot, 'mount-'));
  try {
    const target = path.join(scratch, 'merged');
    const empty = path.join(scratch, 'empty');
    await mkdir(target);
    await mkdir(empty);
    const overlay = mount.type === 'overlay' ? mount : overAnEmptyLayer(mount, empty, image.format);
    return await withMount(overlay, target, () => dumpTree(target, options), at);
  } finally {
    await rm(scratch, { recursive: true });
  }
}

function overAnEmptyLayer(mount: Mount, empty: string, format: string): Mount {
  const userxattr = format === 'overlay-userxattr' ? ['userxattr'] : [];
  return {
    type: 'overlay',
    source: 'overlay',
    options: [...userxattr, `lowerdir=${mount.source}:${empty}`],
  };
}

/** Why overlayfs cannot be mounted here, or nothing when it can. */
export async function overlayMissing(at: Inspector = inspector()): Promise<string | undefined> {
  const scratch = await mkdtemp(path.join(scratchRoot, 'probe-'));
  try {
    for (const name of ['a', 'b', 'm']) {
      await mkdir(path.join(scratch, name));
    }
    const options = [`lowerdir=${scratch}/a:${scratch}/b`];
    const target = path.join(scratch, 'm');
    await withMount({ type: 'overlay', source: 'overlay', options }, target, async () => {}, at);
    return undefined;
  } catch (error) {
    return `overlayfs cannot be mounted: ${(error as Error).message}`;
  } finally {
    await rm(scratch, { recursive: true });
  }
}
