// Kind native: every snapshot is a full copy of its parent, sharing content where the file system can. Works
// on any file system, without mounts that need anything of the kernel.

import path from 'node:path';
import { bindMount, type Driver } from './driver.js';

/** The mounts are those of containerd's native snapshotter: a view binds its parent, there being no copy for it. */
export function nativeDriver(): Driver {
  return {
    kind: 'native',
    format: 'flat',
    flat: true,
    hasWork: false,
    mounts: ({ kind, directory, parents }) => {
      const own = path.join(directory, 'fs');
      return kind === 'view'
        ? [bindMount(parents[0] ?? own, ['ro', 'rbind'])]
        : [bindMount(own, ['rw', 'rbind'])];
    },
  };
}
