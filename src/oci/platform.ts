// Platforms: what an image is made for, and which images a host can run, in order of preference. Names and
// order are those of containerd (github.com/containerd/platforms: normalize, vector), which users know.

import { endianness } from 'node:os';
import { UnpackError } from '../errors.js';
import type { JsonReader } from './json-reader.js';

/** What an image is made for. Architectures have Go's names. */
export interface Platform {
  os: string;
  architecture: string;
  /** `v7` of arm, `v8` of arm64, `v3` of amd64, and so on. */
  variant?: string;
  'os.version'?: string;
}

/** Reads the `platform` of a descriptor. */
export function readPlatform(json: JsonReader): Platform {
  const platform: Platform = { os: json.string('os'), architecture: json.string('architecture') };
  for (const field of ['variant', 'os.version'] as const) {
    const value = json.optionalString(field);
    if (value !== undefined && value !== '') {
      platform[field] = value;
    }
  }
  return platform;
}

/**
 * Parses `os/architecture[/variant]`; aliases as `x86_64`, `aarch64` and `armhf` are understood.
 *
 * @throws UnpackError `ERR_INVALID_ARGUMENT`
 */
export function parsePlatform(text: string): Platform {
  const match = /^([A-Za-z0-9_.-]+)\/([A-Za-z0-9_.-]+)(?:\/([A-Za-z0-9_.-]+))?$/.exec(text);
  if (match === null) {
    throw new UnpackError(
      'ERR_INVALID_ARGUMENT',
      `platform: ${JSON.stringify(text)} is not os/architecture[/variant], e.g. linux/amd64 or linux/arm/v7`,
    );
  }
  const [, os = '', architecture = '', variant] = match;
  return normalizePlatform({ os, architecture, ...(variant !== undefined && { variant }) });
}

/** `os/architecture[/variant]`. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

/**
 * One name for each platform: lower case, aliases resolved, arm always with a variant (v7 where it has none), and
 * variants that say nothing (amd64/v1, arm64/v8) left out.
 */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  let architecture = platform.architecture.toLowerCase();
  let variant = (platform.variant ?? '').toLowerCase();
  switch (architecture) {
    case 'i386':
      architecture = '386';
      variant = '';
      break;
    case 'x86_64':
    case 'x86-64':
    case 'amd64':
      architecture = 'amd64';
      variant = variant === 'v1' ? '' : variant;
      break;
    case 'aarch64':
    case 'arm64':
      architecture = 'arm64';
      variant = ['8', 'v8', 'v8.0'].includes(variant) ? '' : variant;
      break;
    case 'armhf':
      architecture = 'arm';
      variant = 'v7';
      break;
    case 'armel':
      architecture = 'arm';
      variant = 'v6';
      break;
    case 'arm':
      variant = variant === '' ? 'v7' : variant.replace(/^(?=\d)/, 'v');
      break;
  }
  const osVersion = platform['os.version'];
  return {
    os: os === 'macos' ? 'darwin' : os,
    architecture,
    ...(variant !== '' && { variant }),
    ...(osVersion !== undefined && { 'os.version': osVersion }),
  };
}

/** What this process runs on; images are Linux images wherever that is. */
export function hostPlatform(): Platform {
  const os = 'linux';
  switch (process.arch) {
    case 'x64':
      return { os, architecture: 'amd64' };
    case 'ia32':
      return { os, architecture: '386' };
    case 'arm': {
      // Node's own build says which instruction set it needs, and so what this machine has at least.
      const variables = process.config.variables as unknown as Record<string, unknown>;
      const version = String(variables.arm_version ?? '7');
      return normalizePlatform({ os, architecture: 'arm', variant: `v${version}` });
    }
    case 'ppc64':
      return { os, architecture: endianness() === 'LE' ? 'ppc64le' : 'ppc64' };
    default:
      return { os, architecture: process.arch };
  }
}

/** The platforms whose images a platform can run, best first. */
export function runnablePlatforms(platform: Platform): Platform[] {
  const { os, architecture, variant } = normalizePlatform(platform);
  const of = (arch: string, variants: (string | undefined)[]): Platform[] =>
    variants.map((name) => ({
      os,
      architecture: arch,
      ...(name !== undefined && { variant: name }),
    }));
  const level = Number(/^v(\d+)$/.exec(variant ?? '')?.[1] ?? Number.NaN);
  switch (architecture) {
    case 'amd64': {
      // x86-64-v4 runs v3, v2 and v1, which has no name; every amd64 kernel runs 386.
      const variants = variant === undefined ? [] : levelsDown(variant, level, 2);
      return [...of('amd64', [...variants, undefined]), ...of('386', [undefined])];
    }
    case 'arm64': {
      const variants = variant === undefined ? [] : arm64Variants(variant);
      return [...of('arm64', [...variants, undefined]), ...of('arm', levelsDown('v8', 8, 5))];
    }
    case 'arm':
      return of('arm', levelsDown(variant ?? 'v7', level, 5));
    default:
      return of(architecture, [variant]);
  }
}

/**
 * How well a host of platform `wanted` runs an image made for `offered`: 0 is best, higher is worse, undefined not at
 * all.
 */
export function platformRank(wanted: Platform, offered: Platform): number | undefined {
  const name = formatPlatform(normalizePlatform(offered));
  const rank = runnablePlatforms(wanted).findIndex(
    (candidate) => formatPlatform(candidate) === name,
  );
  return rank === -1 ? undefined : rank;
}

/** `v7` down to `v<lowest>`; an unknown variant stands for itself alone. */
function levelsDown(variant: string, level: number, lowest: number): string[] {
  const variants: string[] = [variant];
  // No known level is anywhere near 16; hostile ones would make long lists.
  if (level <= 16) {
    for (let below = level - 1; below >= lowest; below--) {
      variants.push(`v${below}`);
    }
  }
  return variants;
}

/** Armv9.N runs Armv9.0-N and Armv8.0-(N+5); Armv8.N runs Armv8.0-N (Arm ARM, A2.2; v8.0 has no name). */
function arm64Variants(variant: string): string[] {
  const match = /^v([89])(?:\.(\d))?$/.exec(variant);
  if (match === null) {
    return [variant];
  }
  const major = Number(match[1]);
  const minor = Number(match[2] ?? 0);
  const down = (name: string, from: number): string[] =>
    Array.from({ length: from }, (_, at) => `${name}.${from - at}`);
  return major === 9
    ? [...down('v9', minor), 'v9', ...down('v8', Math.min(minor + 5, 9))]
    : down('v8', minor);
}
