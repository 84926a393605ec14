// What a caller may choose: format, policies and limits, each with its default, checked here. The
// addon gets complete policies and only the limits that were given (it knows the defaults of those).

import { UnpackError } from '../errors.js';
import type { UnpackProgress } from './progress.js';

/** How a layer is written to disk; docs/options.md compares them. */
export type Format = 'overlay' | 'overlay-userxattr' | 'aufs' | 'flat';

/** Every {@link Format}, the default first. */
export const formats: readonly Format[] = ['overlay', 'overlay-userxattr', 'aufs', 'flat'];

/** A range of user or group ids: `size` ids from `containerID` on are written as `hostID` and up. */
export interface IdMap {
  containerID: number;
  hostID: number;
  size: number;
}

/** What to do where a layer, the file system or the caller's rights leave a choice. */
export interface Policies {
  /**
   * A layer has `lib/x` without an entry for `lib/`, and a lower layer has a symlink `lib`. `follow`: the
   * file lands where the symlink points, as in a sequential apply; `replace`: `lib` becomes a
   * directory; `error`: `ERR_SYMLINK_PARENT`. Default `follow`.
   */
  symlinkParents: 'follow' | 'replace' | 'error';
  /**
   * `trusted.overlay.*` and `user.overlay.*` xattrs that come from a layer. `escape`: kept one level
   * down (`overlay.overlay.`); `strip`: left out; `error`: `ERR_OVERLAY_XATTR`. Default `escape`.
   */
  overlayXattrs: 'escape' | 'strip' | 'error';
  /**
   * An xattr that the file system refuses. `strict`: `ERR_XATTR_UNSUPPORTED`, since a lost capability is a
   * broken container; `best-effort`: a warning. Default `strict`.
   */
  xattrs: 'strict' | 'best-effort';
  /**
   * Character and block devices. `create`: made, and an error where the kernel refuses; `skip`:
   * left out with a warning where the kernel refuses; `error`: a layer with a device is refused
   * (`ERR_DEVICE`). Default `create`.
   */
  devices: 'create' | 'skip' | 'error';
  /**
   * A character device 0:0 in a layer, which overlayfs takes for a whiteout. `error`: `ERR_DEVICE`; `accept`:
   * it is a whiteout. Default `error`.
   */
  deviceWhiteouts: 'error' | 'accept';
  /** Bytes other than zeros after the end of the compressed data: `error` or `ignore`. Default `error`. */
  trailingGarbage: 'error' | 'ignore';
  /**
   * Owners of files. `apply`: as recorded (needs CAP_CHOWN unless all is the caller's own); `map`: through
   * {@link uidMap} and {@link gidMap}; `ignore`: everything is the caller's, with a warning.
   * Default `apply`.
   */
  ownership: 'apply' | 'map' | 'ignore';
  /** For `ownership: 'map'`: user ids of the image to user ids of the host. */
  uidMap?: IdMap[];
  /** For `ownership: 'map'`: group ids of the image to group ids of the host. */
  gidMap?: IdMap[];
}

/** The values of each policy; the first is the default. */
export const policyValues = {
  symlinkParents: ['follow', 'replace', 'error'],
  overlayXattrs: ['escape', 'strip', 'error'],
  xattrs: ['strict', 'best-effort'],
  devices: ['create', 'skip', 'error'],
  deviceWhiteouts: ['error', 'accept'],
  trailingGarbage: ['error', 'ignore'],
  ownership: ['apply', 'map', 'ignore'],
} as const satisfies {
  [Name in keyof Policies as Name extends `${string}Map` ? never : Name]: readonly Policies[Name][];
};

/** Bounds of one layer; a layer beyond one of them is refused with `ERR_LIMIT_EXCEEDED`. */
export interface Limits {
  /** Uncompressed bytes. Default 4 TiB. */
  maxBytes?: number;
  /** Uncompressed bytes per compressed byte, checked past 64 MiB of output. Default 2000. */
  maxRatio?: number;
  /** Tar entries. Default 20,000,000. */
  maxEntries?: number;
  /** Bytes of one path or link target. Default 65,536. */
  maxPathBytes?: number;
  /** Components of one path. Default 4,096. */
  maxPathDepth?: number;
  /** Bytes of one pax header or GNU long name. Default 4 MiB. */
  maxPaxBytes?: number;
  /** Bytes of the names and values of one entry's xattrs. Default 1 MiB. */
  maxXattrBytes?: number;
  /** Xattrs of the pax global headers in force, which are every entry's. Default 64. */
  maxGlobalXattrs?: number;
  /** Map entries of one sparse file. Default 1,000,000. */
  maxSparseEntries?: number;
}

/** Every limit with its default. */
export const limitDefaults = {
  maxBytes: 2 ** 42,
  maxRatio: 2000,
  maxEntries: 20_000_000,
  maxPathBytes: 65_536,
  maxPathDepth: 4_096,
  maxPaxBytes: 4 * 2 ** 20,
  maxXattrBytes: 2 ** 20,
  maxGlobalXattrs: 64,
  maxSparseEntries: 1_000_000,
} as const satisfies Required<Limits>;

/**
 * When an unpacked image is on the disk. `none`: when the kernel has written it, which a power loss may forestall: what
 * was made in another boot is not trusted. `wait`: when the call ends.
 */
export type UnpackDurability = 'none' | 'wait';

/** Every {@link UnpackDurability}, the default first. */
export const unpackDurabilities: readonly UnpackDurability[] = ['none', 'wait'];

/** What {@link unpackLayer} and {@link unpackImage} have in common. */
export interface CommonOptions {
  /** Default `overlay`. */
  format?: Format;
  /** Only what differs from the defaults of {@link Policies}. */
  policies?: Partial<Policies>;
  limits?: Limits;
  /**
   * The most threads that work for this call at once, 1 to 64; 0, the default, is one per processor that the
   * process may use (by affinity and cgroup).
   */
  concurrency?: number;
  /** Cancels: the promise rejects with `ERR_ABORTED` when everything has stopped and is cleaned up. */
  signal?: AbortSignal;
  /** Called at most 20 times a second, and once at the end. An error that it throws cancels the call and is its cause. */
  onProgress?: (progress: UnpackProgress) => void;
}

/** Options with every choice made. */
export interface ResolvedOptions {
  format: Format;
  policies: Policies;
  limits: Limits;
  concurrency: number;
}

/** Checks options and fills in the defaults; throws `ERR_INVALID_ARGUMENT`. */
export function resolveOptions(options: CommonOptions): ResolvedOptions {
  const format = options.format ?? 'overlay';
  if (!formats.includes(format)) {
    throw invalid('format', format, `one of ${formats.join(', ')}`);
  }
  const concurrency = options.concurrency ?? 0;
  if (!Number.isInteger(concurrency) || concurrency < 0 || concurrency > 64) {
    throw invalid('concurrency', concurrency, 'a whole number from 0 (automatic) to 64');
  }
  return {
    format,
    concurrency,
    policies: resolvePolicies(options.policies ?? {}),
    limits: resolveLimits(options.limits ?? {}),
  };
}

/** Checks one, or the default; throws `ERR_INVALID_ARGUMENT`. */
export function resolveDurability(given: UnpackDurability = 'none'): UnpackDurability {
  if (!unpackDurabilities.includes(given)) {
    throw invalid('durability', given, `one of ${unpackDurabilities.join(', ')}`);
  }
  return given;
}

function resolvePolicies(given: Partial<Policies>): Policies {
  for (const name of Object.keys(given)) {
    if (!(name in policyValues) && name !== 'uidMap' && name !== 'gidMap') {
      throw invalid('policies', name, `known names: ${Object.keys(policyValues).join(', ')}`);
    }
  }
  const policies: Policies = {
    symlinkParents: pick('symlinkParents', given.symlinkParents),
    overlayXattrs: pick('overlayXattrs', given.overlayXattrs),
    xattrs: pick('xattrs', given.xattrs),
    devices: pick('devices', given.devices),
    deviceWhiteouts: pick('deviceWhiteouts', given.deviceWhiteouts),
    trailingGarbage: pick('trailingGarbage', given.trailingGarbage),
    ownership: pick('ownership', given.ownership),
  };
  const maps = { uidMap: given.uidMap ?? [], gidMap: given.gidMap ?? [] };
  if (policies.ownership === 'map') {
    for (const [name, map] of Object.entries(maps)) {
      checkIdMap(name, map);
    }
    policies.uidMap = maps.uidMap;
    policies.gidMap = maps.gidMap;
  } else if (maps.uidMap.length > 0 || maps.gidMap.length > 0) {
    throw invalid('policies.ownership', policies.ownership, "'map' when id maps are given");
  }
  return policies;
}

function pick<Name extends keyof typeof policyValues>(
  name: Name,
  value: Policies[Name] | undefined,
): Policies[Name] {
  const values = policyValues[name] as readonly unknown[] as readonly Policies[Name][];
  if (value === undefined) {
    return values[0] as Policies[Name];
  }
  if (!values.includes(value)) {
    throw invalid(`policies.${name}`, value, `one of ${values.join(', ')}`);
  }
  return value;
}

function checkIdMap(name: string, map: IdMap[]): void {
  if (map.length === 0) {
    throw invalid(`policies.${name}`, 'nothing', "at least one range with ownership 'map'");
  }
  for (const range of map) {
    for (const key of ['containerID', 'hostID', 'size'] as const) {
      const value = range[key];
      const least = key === 'size' ? 1 : 0;
      if (!Number.isInteger(value) || value < least || value > 0xffff_fffe) {
        throw invalid(`policies.${name}.${key}`, value, `a whole number from ${least} to 2^32 - 2`);
      }
    }
    if (Math.max(range.containerID, range.hostID) + range.size > 0xffff_ffff) {
      throw invalid(`policies.${name}.size`, range.size, 'a range that ends below 2^32 - 1');
    }
  }
}

function resolveLimits(given: Limits): Limits {
  const limits: Limits = {};
  for (const [name, value] of Object.entries(given)) {
    if (!(name in limitDefaults)) {
      throw invalid('limits', name, `known names: ${Object.keys(limitDefaults).join(', ')}`);
    }
    if (value === undefined) {
      continue;
    }
    const whole = name === 'maxRatio' || Number.isSafeInteger(value);
    if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value) || !whole) {
      throw invalid(`limits.${name}`, value, 'a positive number');
    }
    limits[name as keyof Limits] = value;
  }
  return limits;
}

function invalid(what: string, value: unknown, expected: string): UnpackError {
  return new UnpackError('ERR_INVALID_ARGUMENT', `${what}: ${String(value)} is not ${expected}`);
}
