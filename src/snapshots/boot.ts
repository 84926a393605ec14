// Facts about the running system: which boot it is, whether we are in a user namespace, what its overlayfs knows.

import { existsSync, readFileSync } from 'node:fs';

let boot: string | undefined;

/** The id of the running boot. What was not synced in an earlier one may be lost. */
export function bootID(): string {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return boot;
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
