// What each probe of the host means for unpacking, and what to do where it did not succeed.

/** How a check came out: `fail` means that something will go wrong, `warn` that something will not work or be slow. */
export type CheckStatus = 'ok' | 'warn' | 'fail' | 'unknown';

/** What is said of a check, by how it came out. */
export interface CheckText {
  /** When it is `ok`. */
  good: string;
  /** When it is not. */
  bad: string;
  /** When it could not be tried; by default as `bad`. */
  unknown?: string;
  /** What to do where it is not `ok`. */
  fix: string;
}

/** By the name of the check, in the order in which they are shown. */
export const checkTexts: Readonly<Record<string, CheckText>> = {
  node: {
    good: 'Node is new enough.',
    bad: 'Node is too old for oci-unpack.',
    fix: 'Install Node 20.19 or newer.',
  },
  addon: {
    good: 'The native addon is loaded.',
    bad: 'The native addon cannot be loaded: nothing can be unpacked.',
    fix: 'Run npm run setup in the folder of the package; it says what it lacks.',
  },
  'gzip-decoder': {
    good: 'gzip is inflated by ISA-L, two to three times as fast as by zlib.',
    bad: "gzip is inflated by Node's zlib, which is right but two to three times slower than ISA-L.",
    fix: 'Install ISA-L: apt-get install libisal2 (other systems: isa-l, libisal.so.2).',
  },
  'zstd-decoder': {
    good: 'zstd is linked into the addon, this version.',
    bad: 'zstd is not there.',
    fix: 'Build the addon again: npm run setup.',
  },
  workers: {
    good: 'Threads that unpack at once, by CPU affinity and cgroup; --concurrency sets another number.',
    bad: 'The number of processors is not known.',
    fix: 'Set --concurrency.',
  },
  kernel: {
    good: 'The release of the running kernel.',
    bad: 'The kernel is not known.',
    fix: 'Run a current Linux.',
  },
  'file-system': {
    good: 'What the tested directory lies on.',
    bad: 'The tested directory lies on overlayfs, which cannot hold the marks of overlayfs layers itself.',
    fix: 'Unpack to another file system: a volume, a bind mount, or a tmpfs such as /dev/shm.',
  },
  openat2: {
    good: 'Paths are resolved inside of the root by the kernel.',
    bad: 'The kernel (before 5.6) or a seccomp filter has no openat2(2): paths are resolved step by step, which is as safe and slower.',
    fix: 'Nothing must be done; a newer kernel, or container runtime, is faster.',
  },
  'whiteout-device': {
    good: 'Whiteouts can be written as character devices 0:0.',
    bad: 'Character devices 0:0 cannot be made here: whiteouts are written as xattrs, where overlayfs reads them.',
    fix: 'Run as root outside of a restricted container, or on Linux 5.8 or newer, where anyone may.',
  },
  'xattr-whiteout': {
    good: 'overlayfs reads whiteouts that are xattrs.',
    bad: 'overlayfs does not read whiteouts that are xattrs (Linux 6.8 does); it does not matter where character devices 0:0 can be made.',
    unknown:
      'Whether overlayfs reads whiteouts that are xattrs could not be tried; it only matters where character devices 0:0 cannot be made.',
    fix: 'Nothing must be done where whiteout-device is ok; else a newer kernel, or --format flat.',
  },
  'device-nodes': {
    good: 'Device files can be made.',
    bad: 'Device files cannot be made, as in every user namespace: an image with one is refused.',
    fix: 'Use --devices skip, which leaves them out and says so, or run as root.',
  },
  chown: {
    good: 'Owners can be set.',
    bad: 'Owners cannot be set by this user: images with files of others are refused.',
    fix: 'Run as root, in a user namespace with mapped ids, or with --ownership ignore.',
  },
  'xattr-trusted': {
    good: 'Opaque directories can be marked for overlayfs (trusted.overlay.opaque).',
    bad: 'trusted.* xattrs cannot be set: --format overlay cannot mark opaque directories.',
    fix: 'Use --format overlay-userxattr or flat, or run as root of the host on a file system with xattrs.',
  },
  'xattr-user': {
    good: 'user.* xattrs can be set, which --format overlay-userxattr needs.',
    bad: 'user.* xattrs cannot be set on this file system: --format overlay-userxattr does not work here, and files with such xattrs are refused.',
    fix: 'Use another file system (tmpfs has them since Linux 6.6), or --xattrs best-effort.',
  },
  'xattr-capability': {
    good: 'File capabilities can be set (security.capability).',
    bad: 'File capabilities cannot be set: images with programs such as ping are refused.',
    fix: 'Run as root or in a user namespace, or use --xattrs best-effort, which leaves them out and says so.',
  },
  reflink: {
    good: 'Whether a file of a lower layer that is copied up can share its blocks. Not needed.',
    bad: 'Files of lower layers are copied byte by byte where a layer links to them.',
    fix: 'Use xfs or btrfs.',
  },
  'overlay-mount': {
    good: 'overlayfs can be mounted.',
    bad: 'overlayfs cannot be mounted by this process; unpacking works, oci-unpack mount does not.',
    fix: 'Run as root or in a user and mount namespace (unshare -Urm); modprobe overlay where the kernel has it as a module; or use --format flat.',
  },
  'overlay-userxattr': {
    good: 'overlayfs can be mounted with userxattr, for --format overlay-userxattr.',
    bad: 'overlayfs cannot be mounted with userxattr (Linux 5.11).',
    fix: 'Run as root or in a user and mount namespace (unshare -Urm), on Linux 5.11 or newer.',
  },
  'opaque-copy-up-bug': {
    good: 'The kernel does not copy the opaque mark of a lower directory to a new upper one.',
    bad: 'The kernel copies the opaque mark of a lower directory to a new upper one (Linux before 4.8; RHEL and CentOS 3.10 before -693): files vanish from containers that run on it. The layers that oci-unpack writes are right all the same.',
    unknown:
      'Whether the kernel copies the opaque mark of a lower directory to a new upper one could not be tried; Linux before 4.8 does, and files vanish from containers that run on it.',
    fix: 'Run doctor as root to find out. Where the kernel has the bug, update it.',
  },
};
