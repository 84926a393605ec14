// Kind overlayfs: a snapshot holds what differs from its parent; the kernel puts them on top of each other.

import path from 'node:path';
import { inUserNamespace, overlayHasIndex } from './boot.js';
import { bindMount, type Driver, type MountSource } from './driver.js';
import { escapeOption } from './mount-options.js';
import type { Mount } from './snapshotter.js';

export interface OverlayOptions {
  /** Markers in `user.overlay.*`; default: where trusted.* is out of reach, in a user namespace. */
  userxattr?: boolean | undefined;
}

/** The mounts are those of containerd's overlay snapshotter, in order too. */
export function overlayDriver(options: OverlayOptions = {}): Driver {
  const userxattr = options.userxattr ?? inUserNamespace();
  const always = [...(userxattr ? ['userxattr'] : []), ...(overlayHasIndex() ? ['index=off'] : [])];
  return {
    kind: 'overlayfs',
    format: userxattr ? 'overlay-userxattr' : 'overlay',
    flat: false,
    hasWork: true,
    mounts: (source) => overlayMounts(source, always),
  };
}

function overlayMounts({ kind, directory, parents }: MountSource, always: string[]): Mount[] {
  const upper = path.join(directory, 'fs');
  const [nearest] = parents;
  if (nearest === undefined) {
    return [bindMount(upper, [kind === 'view' ? 'ro' : 'rw', 'rbind'])];
  }
  if (kind === 'view' && parents.length === 1) {
    return [bindMount(nearest, ['ro', 'rbind'])];
  }
  const options = [`lowerdir=${parents.map(escapeOption).join(':')}`, ...always];
  if (kind === 'active') {
    const work = path.join(directory, 'work');
    options.unshift(`workdir=${escapeOption(work)}`, `upperdir=${escapeOption(upper)}`);
  }
  return [{ type: 'overlay', source: 'overlay', options }];
}
