// What each probe of the host means for unpacking, and what to do where it did not succeed.

/** How a check came out: `fail` means that something will go wrong, `warn` that something will not work or be slow. */
export type CheckStatus = 'ok' | 'warn' | 'fail' | 'unknown';

/** What a check is about, in the order in which groups are shown. */
export const checkGroups = {
  files: 'Files: every one arrives, and stays',
  mounts: 'Mounts and containers',
  room: 'Where the files lie',
  speed: 'Speed',
  program: 'The program itself',
} as const;

/** A group of checks. */
export type CheckGroup = keyof typeof checkGroups;

/** What is said of a check, by how it came out. */
export interface CheckText {
  group: CheckGroup;
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
  'opaque-copy-up-bug': {
    group: 'files',
    good: 'The kernel does not copy the opaque mark of a lower directory to a new upper one.',
    bad: 'The kernel copies the opaque mark of a lower directory to a new upper one (Linux before 4.8; RHEL and CentOS 3.10 before -693): files vanish from containers that run on it, and from images that are unpacked through a mount. The layers that oci-unpack writes are right all the same.',
    unknown:
      'Whether the kernel copies the opaque mark of a lower directory to a new upper one could not be tried; Linux before 4.8 does, and files vanish from containers that run on it.',
    fix: 'Where the kernel has the bug, update it. Where it could not be tried, run doctor as root, or in unshare -Urm. oci-unpack explain opaque shows what the bug does.',
  },
  'd-type': {
    group: 'files',
    good: 'Listings tell the types of files, by which overlayfs knows a whiteout.',
    bad: 'Listings do not tell the types of files: overlayfs cannot tell whiteouts, so deleted files are listed again, and directories cannot be removed.',
    fix: 'Put the store on another file system. An xfs must be made with mkfs.xfs -n ftype=1 (the default), an ext4 with the feature filetype.',
  },
  'whiteout-device': {
    group: 'files',
    good: 'Whiteouts can be written as character devices 0:0.',
    bad: 'Character devices 0:0 cannot be made here: whiteouts are written as xattrs, where overlayfs reads them.',
    fix: 'Run as root outside of a restricted container, or on Linux 5.8 or newer, where anyone may.',
  },
  'xattr-whiteout': {
    group: 'files',
    good: 'overlayfs reads whiteouts that are xattrs.',
    bad: 'overlayfs does not read whiteouts that are xattrs (Linux 6.8 does); it does not matter where character devices 0:0 can be made.',
    unknown:
      'Whether overlayfs reads whiteouts that are xattrs could not be tried; it only matters where character devices 0:0 cannot be made.',
    fix: 'Nothing must be done where whiteout-device is ok; else a newer kernel, or --format flat.',
  },
  'xattr-trusted': {
    group: 'files',
    good: 'Opaque directories can be marked for overlayfs (trusted.overlay.opaque), and the mark is kept.',
    bad: 'trusted.* xattrs cannot be set, or are not kept: --format overlay cannot mark opaque directories.',
    fix: 'Use --format overlay-userxattr or flat, or run as root of the host on a file system with xattrs.',
  },
  'xattr-user': {
    group: 'files',
    good: 'user.* xattrs can be set, which --format overlay-userxattr needs.',
    bad: 'user.* xattrs cannot be set, or are not kept, on this file system: --format overlay-userxattr does not work here, and files with such xattrs are refused.',
    fix: 'Use another file system (tmpfs has them since Linux 6.6), or --xattrs best-effort.',
  },
  'xattr-capability': {
    group: 'files',
    good: 'File capabilities can be set (security.capability), and are kept.',
    bad: 'File capabilities cannot be set, or are not kept: images with programs such as ping are refused.',
    fix: 'Run as root or in a user namespace, or use --xattrs best-effort, which leaves them out and says so.',
  },
  chown: {
    group: 'files',
    good: 'Owners can be set.',
    bad: 'Owners, or the modes of files of others, cannot be set by this process: images with such files are refused.',
    fix: 'Run as root with all capabilities (CAP_CHOWN, CAP_FOWNER, CAP_FSETID), in a user namespace with mapped ids, or with --ownership ignore.',
  },
  'device-nodes': {
    group: 'files',
    good: 'Device files can be made.',
    bad: 'Device files cannot be made, as in every user namespace: an image with one is refused.',
    fix: 'Use --devices skip, which leaves them out and says so, or run as root.',
  },
  'ext4-journal': {
    group: 'files',
    good: 'After a loss of power the file system finds back to what was synced: it has a journal, or is not an ext4.',
    bad: 'This ext4 has no journal: a loss of power can damage files that were written long before; and after a large delete it creates files five to ten times slower for minutes.',
    fix: 'Unmount it and run tune2fs -O has_journal DEVICE, or put the store on another file system. After a loss of power run oci-unpack verify --all.',
  },
  'overlay-mount': {
    group: 'mounts',
    good: 'overlayfs can be mounted.',
    bad: 'overlayfs cannot be mounted by this process; unpacking works, oci-unpack mount does not.',
    fix: 'Run as root or in a user and mount namespace (unshare -Urm); modprobe overlay where the kernel has it as a module; or use --format flat.',
  },
  'overlay-userxattr': {
    group: 'mounts',
    good: 'overlayfs can be mounted with userxattr, for --format overlay-userxattr.',
    bad: 'overlayfs cannot be mounted with userxattr (Linux 5.11).',
    fix: 'Run as root or in a user and mount namespace (unshare -Urm), on Linux 5.11 or newer.',
  },
  'overlay-upper': {
    group: 'mounts',
    good: 'An overlay can be mounted with its changes here: containers can write.',
    bad: 'An overlay with its changes here cannot be mounted, or does not delete what it should: containers cannot write to their snapshots. Read-only mounts are not concerned.',
    fix: 'Put the store on ext4, xfs, btrfs or a tmpfs; overlayfs takes no network file system and no other overlay for changes. Without rights: unshare -Urm.',
  },
  'redirect-dir': {
    group: 'mounts',
    good: 'A renamed directory is copied to the changes whole.',
    bad: 'redirect_dir is on by default: of a directory that a container renames its changes hold only a mark, and whoever copies them without the layers below (docker commit, tar) loses what is in it.',
    unknown:
      'Whether redirect_dir is on by default could not be tried: no overlay with changes can be mounted here.',
    fix: 'echo N > /sys/module/overlay/parameters/redirect_dir, and for good: options overlay redirect_dir=off in /etc/modprobe.d.',
  },
  metacopy: {
    group: 'mounts',
    good: 'A file whose mode or owner is changed is copied to the changes whole.',
    bad: 'metacopy is on by default: of a file whose mode or owner a container changes its changes hold no content, and whoever copies them without the layers below (docker commit, tar) gets empty files.',
    unknown:
      'Whether metacopy is on by default could not be tried: no overlay with changes can be mounted here.',
    fix: 'echo N > /sys/module/overlay/parameters/metacopy, and for good: options overlay metacopy=off in /etc/modprobe.d.',
  },
  index: {
    group: 'mounts',
    good: 'Whether overlayfs keeps an index of hardlinks in the work directory. With one, changes cannot be mounted on top of other layers than before; the mounts of oci-unpack turn it off.',
    bad: 'The index of overlayfs is not known.',
    unknown:
      'Whether overlayfs keeps an index could not be tried: no overlay with changes can be mounted here.',
    fix: 'Nothing must be done: the mounts of oci-unpack turn it off.',
  },
  'mount-api': {
    group: 'mounts',
    good: 'Layers are given to the kernel one by one (fsconfig, lowerdir+): any number, with paths of any length.',
    bad: 'The kernel does not take layers one by one (Linux 6.8 does): mounts go by the options of mount(2), one page for all of them, with short relative paths.',
    unknown:
      'Whether the kernel takes layers one by one could not be tried without the right to mount.',
    fix: 'Nothing must be done for images of up to some 100 layers; for more, a newer kernel.',
  },
  'erofs-file-mount': {
    group: 'mounts',
    good: 'Whether an EROFS image can be mounted from a file on this file system, without a loop device (Linux 6.12). Not needed.',
    bad: 'EROFS images cannot be mounted from a file here.',
    unknown:
      'Whether an EROFS image can be mounted from a file could not be tried: it takes the rights of root. Not needed.',
    fix: 'Nothing must be done.',
  },
  runtime: {
    group: 'mounts',
    good: 'An OCI runtime is there, for oci-unpack run.',
    bad: 'There is no OCI runtime: oci-unpack run does not work; everything else does.',
    fix: 'Install one: apt-get install runc (or crun).',
  },
  'file-system': {
    group: 'room',
    good: 'What the tested directory lies on.',
    bad: 'The tested directory lies on overlayfs, which cannot hold the marks of overlayfs layers itself.',
    fix: 'Unpack to another file system: a volume, a bind mount, or a tmpfs such as /dev/shm.',
  },
  'free-bytes': {
    group: 'room',
    good: 'Room on the file system.',
    bad: 'There is little room on the file system: a large image does not fit. Nothing half is left where it does not.',
    fix: 'Free some: oci-unpack gc, df -h; or put the store elsewhere with --root.',
  },
  'free-inodes': {
    group: 'room',
    good: 'Room for files: an image has 5,000 to 150,000 of them.',
    bad: 'There is room for few files: an image of a distribution has 5,000 to 150,000 of them.',
    fix: 'Free some: oci-unpack gc, df -i; or make the file system with more inodes (mkfs.ext4 -N).',
  },
  reflink: {
    group: 'room',
    good: 'Whether a file of a lower layer that is copied up can share its blocks. Not needed.',
    bad: 'Files of lower layers are copied byte by byte where a layer links to them.',
    fix: 'Use xfs or btrfs.',
  },
  workers: {
    group: 'speed',
    good: 'Threads that unpack at once, by CPU affinity and cgroup; --concurrency sets another number.',
    bad: 'The number of processors is not known.',
    fix: 'Set --concurrency.',
  },
  'cgroup-cpu': {
    group: 'speed',
    good: 'No cgroup bounds the processors that this process may use.',
    bad: 'A cgroup bounds the processors that this process may use: unpacking has as many threads as it allows, rounded up.',
    unknown: 'Whether a cgroup bounds the processors is not known.',
    fix: 'Raise cpu.max of the cgroup (docker run --cpus, limits.cpu of a pod) to unpack faster.',
  },
  'gzip-decoder': {
    group: 'speed',
    good: 'gzip is inflated by ISA-L, two to three times as fast as by zlib.',
    bad: "gzip is inflated by Node's zlib, which is right but two to three times slower than ISA-L.",
    fix: 'Install ISA-L: apt-get install libisal2 (other systems: isa-l, libisal.so.2).',
  },
  'zstd-decoder': {
    group: 'speed',
    good: 'zstd is linked into the addon, this version.',
    bad: 'zstd is not there.',
    fix: 'Build the addon again: npm run setup.',
  },
  'sha-extensions': {
    group: 'speed',
    good: 'The processor takes sha256 itself, two streams at once.',
    bad: 'sha256 is taken by OpenSSL, since this processor has no SHA extensions that oci-unpack uses: two to four times slower, and often what an unpack waits for.',
    fix: 'Nothing must be done. Virtual machines: let the guest have the processor of the host (-cpu host).',
  },
  'node-start': {
    group: 'speed',
    good: 'Node starts without parsing authorities that the environment adds.',
    bad: 'NODE_EXTRA_CA_CERTS is set, and this Node parses its file at every start: each command takes a tenth of a second longer.',
    fix: 'Use Node 22 or newer, which reads it when TLS needs it; or unset it, and give what a registry needs by pull --ca.',
  },
  openat2: {
    group: 'speed',
    good: 'Paths are resolved inside of the root by the kernel.',
    bad: 'The kernel (before 5.6) or a seccomp filter has no openat2(2): paths are resolved step by step, which is as safe and slower.',
    fix: 'Nothing must be done; a newer kernel, or container runtime, is faster.',
  },
  node: {
    group: 'program',
    good: 'Node is new enough.',
    bad: 'Node is too old for oci-unpack.',
    fix: 'Install Node 20.19 or newer.',
  },
  addon: {
    group: 'program',
    good: 'The native addon is loaded.',
    bad: 'The native addon cannot be loaded: nothing can be unpacked.',
    fix: 'Run npm run setup in the folder of the package; it says what it lacks.',
  },
  kernel: {
    group: 'program',
    good: 'The release of the running kernel.',
    bad: 'The kernel is not known.',
    fix: 'Run a current Linux.',
  },
};
