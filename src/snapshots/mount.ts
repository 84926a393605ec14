// Mounts what a snapshotter gives, however many layers there are: through the kernel's mount API, which takes layer
// by layer what does not fit into the one page that mount(2) has for options.

import { UnpackError } from '../errors.js';
import { givenPath } from '../given-path.js';
import { loadBinding } from '../native/index.js';
import { mountsAt } from './live-mounts.js';
import { splitPaths, unescapeOption } from './mount-options.js';
import type { Mount } from './snapshotter.js';

/**
 * Mounts all of `mounts`, in order, at the existing directory `target`, which then shows the last one. When one fails,
 * those before it are taken away.
 *
 * @throws UnpackError `ERR_MOUNT`; `ERR_UNSUPPORTED` for aufs where the kernel has none; `ERR_INVALID_ARGUMENT`
 */
export async function mountAll(mounts: readonly Mount[], target: string): Promise<void> {
  const at = givenPath('target', target);
  let done = 0;
  try {
    for (const mount of mounts) {
      await mountOne(mount, at);
      done++;
    }
  } catch (error) {
    for (; done > 0; done--) {
      await loadBinding().unmount({ target: at, lazy: true });
    }
    throw UnpackError.from(error);
  }
}

/**
 * Takes away every mount at `target`; none is fine.
 *
 * @throws UnpackError `ERR_MOUNT` (`errno` EBUSY) where one is in use; with `lazy` it goes when the last user is gone
 */
export async function unmountAll(target: string, options: { lazy?: boolean } = {}): Promise<void> {
  const at = givenPath('target', target);
  for (;;) {
    try {
      await loadBinding().unmount({ target: at, lazy: options.lazy ?? false });
    } catch (error) {
      const { errno } = error as { errno?: unknown };
      if (errno === 'EINVAL' || errno === 'ENOENT') {
        return; // umount(2): not a mount point
      }
      throw UnpackError.from(error);
    }
  }
}

/**
 * Takes away the mounts at `target` that need one of `directories`, those of snapshots; what else is mounted there stays.
 *
 * @throws UnpackError `ERR_MOUNT` where one is in use, or something else is mounted on top of it
 */
export async function unmountOwn(target: string, directories: readonly string[]): Promise<void> {
  for (;;) {
    const own = await mountsAt(target, directories);
    if (!own.includes(true)) {
      return;
    }
    if (!own.at(-1)) {
      const problem = 'something else is mounted on top; unmount that first';
      throw new UnpackError('ERR_MOUNT', `${target}: ${problem}`, { path: target });
    }
    try {
      await loadBinding().unmount({ target, lazy: false });
    } catch (error) {
      throw UnpackError.from(error);
    }
  }
}

async function mountOne(mount: Mount, target: string): Promise<void> {
  const readOnly = mount.options.includes('ro');
  switch (mount.type) {
    case 'bind':
      return loadBinding().mountBind({ source: mount.source, target, readOnly });
    case 'overlay':
      return mountOverlay(mount.options, target);
    case 'aufs':
      return loadBinding().mountPlain({
        type: 'aufs',
        source: mount.source,
        target,
        data: mount.options.filter((option) => option !== 'ro' && option !== 'rw').join(','),
        readOnly,
      });
    default:
      throw new UnpackError(
        'ERR_INVALID_ARGUMENT',
        `a mount of type ${JSON.stringify((mount as Mount).type)} is none of a snapshotter`,
      );
  }
}

async function mountOverlay(options: readonly string[], target: string): Promise<void> {
  let lowers: string[] = [];
  let upper: string | undefined;
  let work: string | undefined;
  const others: string[] = [];
  for (const option of options) {
    const [name, ...rest] = option.split('=');
    const value = rest.join('=');
    switch (name) {
      case 'lowerdir':
        lowers = splitPaths(value);
        break;
      case 'upperdir':
        upper = unescapeOption(value);
        break;
      case 'workdir':
        work = unescapeOption(value);
        break;
      case 'ro':
      case 'rw':
      case 'userxattr':
        break;
      default:
        others.push(option);
    }
  }
  const userxattr = options.includes('userxattr');
  return loadBinding().mountOverlay({ lowers, upper, work, target, userxattr, options: others });
}
