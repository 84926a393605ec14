// Facts about the running system: which boot it is, whether we are in a user namespace, what its overlayfs knows.

import { existsSync, readFileSync } from 'node:fs';
import { UnpackError } from '../errors.js';

let boot: string | undefined;

const bootFile = '/proc/sys/kernel/random/boot_id';

/**
 * The id of the running boot. What was not synced in an earlier one may be lost.
 *
 * @throws UnpackError `ERR_UNSUPPORTED` without /proc
 */
export function bootID(): string {
  try {
    boot ??= readFileSync(bootFile, 'utf8').trim();
    return boot;
  } catch (error) {
    throw new UnpackError(
      'ERR_UNSUPPORTED',
      `${bootFile}: cannot be read (${(error as NodeJS.ErrnoException).code}); a store needs /proc to be mounted`,
      { path: bootFile, cause: error },
    );
  }
}

/** Whether this process is not in the initial user namespace, where trusted.* xattrs are out of reach. */
export function inUserNamespace(): boolean {
  try {
    const map = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/);
    return map.join(' ') !== '0 0 4294967295';
  } catch {
    return false; // a kernel without user namespaces
  }
}

/** Whether overlayfs takes `index=off` (Linux 4.13). Where the module is not loaded yet, a current one is expected. */
export function overlayHasIndex(): boolean {
  return existsSync('/sys/module/overlay/parameters/index') || !existsSync('/sys/module/overlay');
}
