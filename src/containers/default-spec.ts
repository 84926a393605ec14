// What every container begins with: containerd's defaults (oci.WithDefaultSpec: capabilities, mounts, masked and
// read-only paths, namespaces, rlimits), but for no_new_privs, which would take file capabilities (ping) from users
// other than root; Docker leaves it off too.

import type { RuntimeMount, RuntimeSpec } from './runtime-spec.js';

export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export const defaultCapabilities: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
];

const strict = ['nosuid', 'noexec', 'nodev'];

const defaultMounts: readonly RuntimeMount[] = [
  { destination: '/proc', type: 'proc', source: 'proc', options: strict },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: [...strict, 'mode=1777', 'size=65536k'],
  },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: strict },
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...strict, 'ro'] },
  {
    destination: '/run',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
];

const maskedPaths = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
  '/proc/scsi',
];

const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** A spec without process, root and names. */
export function defaultSpec(): Pick<RuntimeSpec, 'ociVersion' | 'mounts' | 'linux'> {
  return {
    ociVersion: '1.0.2',
    mounts: defaultMounts.map((mount) => ({ ...mount, options: [...mount.options] })),
    linux: {
      resources: { devices: [{ allow: false, access: 'rwm' }] },
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'network'].map((type) => ({ type })),
      maskedPaths: [...maskedPaths],
      readonlyPaths: [...readonlyPaths],
    },
  };
}

/** Makes the spec one for root of a user namespace: no cgroups, over which it has no say, and no ids that it may lack. */
export function makeNested(spec: RuntimeSpec): void {
  delete spec.linux.resources;
  delete spec.linux.cgroupsPath;
  spec.mounts = spec.mounts.map((mount) => ({
    ...mount,
    options: mount.options.filter((option) => !/^[ug]id=/.test(option)),
  }));
}

/**
 * Makes the spec one for a user without rights (as runc's `spec --rootless`): a user namespace in which the caller is
 * root, the host's network and sysfs, no cgroups, and no ids that the namespace does not have.
 */
export function makeRootless(spec: RuntimeSpec, ids: { uid: number; gid: number }): void {
  spec.mounts = spec.mounts.map((mount) => {
    if (mount.destination === '/sys') {
      const options = ['rbind', ...strict, 'ro'];
      return { destination: '/sys', type: 'none', source: '/sys', options };
    }
    return mount;
  });
  makeNested(spec);
  const { linux } = spec;
  linux.namespaces = [
    ...linux.namespaces.filter(({ type }) => type !== 'network' && type !== 'user'),
    { type: 'user' },
  ];
  linux.uidMappings = [{ containerID: 0, hostID: ids.uid, size: 1 }];
  linux.gidMappings = [{ containerID: 0, hostID: ids.gid, size: 1 }];
  // setgroups(2) is denied in such a namespace (user_namespaces(7)).
  delete spec.process.user.additionalGids;
}
