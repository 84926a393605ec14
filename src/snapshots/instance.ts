// The identity of a directory (a store, a destination) as it is mounted now. What was written and not synced is to be
// trusted only as long as the kernel that took the writes still has the file system that they went to: not after a
// reboot, and not in a copy of the disk, of the file system or of the directory, nor when it was mounted anew.

import { createHash } from 'node:crypto';
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statfsSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { bootID } from './boot.js';

/** TMPFS_MAGIC, statfs(2). */
const tmpfsMagic = 0x01021994;

/**
 * Identifies the directory `root`, in this mount of its file system, in this boot; differs whenever one of them does.
 * Where sysfs does not tell the mounts of a file system apart (btrfs, NFS, overlayfs), only `byMount` does, and then two
 * mount namespaces are two instances.
 *
 * @throws UnpackError `ERR_UNSUPPORTED` without /proc
 */
export function instanceOf(root: string, byMount: boolean): string {
  const { dev, ino, birthtimeNs } = statSync(root, { bigint: true });
  const mounted = superblockOf(dev) ?? (byMount ? mountOf(root) : []);
  const facts = [bootID(), dev, ino, birthtimeNs, ...mounted];
  return createHash('sha256').update(facts.join('\n')).digest('hex').slice(0, 32);
}

/** {@link instanceOf} of a store, found out when it is first asked for: who lists images never does. */
export function lazyInstance(root: string): () => string {
  let instance: string | undefined;
  return () => {
    instance ??= instanceOf(root, true);
    return instance;
  };
}

/** What sysfs has anew each time that the file system `dev` is mounted; undefined where it has nothing of it. */
function superblockOf(dev: bigint): string[] | undefined {
  // gnu_dev_major(3), gnu_dev_minor(3)
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  const device = `/sys/dev/block/${major}:${minor}`;
  const name = read(() => path.basename(readlinkSync(device)));
  if (name !== undefined) {
    // A file system has a directory in sysfs from mount to unmount; sysfs gives no inode number twice.
    const own = (read(() => readdirSync('/sys/fs')) ?? []).flatMap((type) => {
      const found = read(() => statSync(`/sys/fs/${type}/${name}`, { bigint: true }).ino);
      return found === undefined ? [] : [`${type} ${found}`];
    });
    if (own.length > 0) {
      // Counts the disks that were put behind a device (loop, nbd); of a partition the disk's.
      const sequence = read(() => readFileSync(`${device}/diskseq`, 'utf8'));
      return [...own, sequence ?? read(() => readFileSync(`${device}/../diskseq`, 'utf8')) ?? ''];
    }
  }
  return undefined;
}

/** The kernel's number of the mount itself: other mounts of the same file system have others. */
function mountOf(root: string): string[] {
  // A tmpfs is gone when it is unmounted: what is there was never written to anything else.
  if (statfsSync(root).type === tmpfsMagic) {
    return [];
  }
  const descriptor = openSync(root, 'r');
  try {
    const facts = read(() => readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')) ?? '';
    return [/^mnt_id:\s*(\d+)/m.exec(facts)?.[1] ?? ''];
  } finally {
    closeSync(descriptor);
  }
}

function read<T>(fact: () => T): T | undefined {
  try {
    return fact();
  } catch {
    return undefined;
  }
}
