// Kind aufs: as overlayfs, with whiteouts in files named `.wh.*`, for kernels that have aufs (Docker's of old,
// some distributions').

import path from 'node:path';
import { bindMount, type Driver, type MountSource } from './driver.js';
import type { Mount } from './snapshotter.js';

/**
 * containerd's options: `dio` for O_DIRECT, inode numbers kept on a tmpfs, and permissions of a directory
 * taken from the topmost branch that has it (aufs.5, dirperm1).
 */
const always = ['dio', 'xino=/dev/shm/aufs.xino', 'dirperm1'];

export function aufsDriver(): Driver {
  return { kind: 'aufs', format: 'aufs', flat: false, hasWork: false, mounts: aufsMounts };
}

function aufsMounts({ kind, directory, parents }: MountSource): Mount[] {
  const upper = path.join(directory, 'fs');
  const [nearest] = parents;
  if (nearest === undefined) {
    return [bindMount(upper, [kind === 'view' ? 'ro' : 'rw', 'rbind'])];
  }
  if (kind === 'view' && parents.length === 1) {
    return [bindMount(nearest, ['ro', 'rbind'])];
  }
  const branches = parents.map((parent) => `${parent}=ro+wh`);
  if (kind === 'active') {
    branches.unshift(`${upper}=rw`);
  }
  return [{ type: 'aufs', source: 'none', options: [...always, `br:${branches.join(':')}`] }];
}
