import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatPlatform,
  hostPlatform,
  normalizePlatform,
  parsePlatform,
  platformRank,
  runnablePlatforms,
} from '../../src/oci/index.js';

const word = fc.constantFrom(
  'linux',
  'windows',
  'amd64',
  'arm64',
  'arm',
  '386',
  's390x',
  'x86_64',
  'aarch64',
  'armhf',
);
const variant = fc.option(
  fc.constantFrom('v1', 'v2', 'v5', 'v7', '7', 'v8', 'v8.2', 'v9', 'softfloat'),
  { nil: undefined },
);
const text = fc
  .tuple(word, word, variant)
  .map(([os, arch, v]) => [os, arch, ...(v === undefined ? [] : [v])].join('/'));

describe('parsePlatform', () => {
  it.each([
    ['linux/amd64', 'linux/amd64'],
    ['Linux/x86_64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['linux/aarch64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64/v9', 'linux/arm64/v9'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/6', 'linux/arm/v6'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/armel', 'linux/arm/v6'],
    ['linux/i386', 'linux/386'],
    ['macos/arm64', 'darwin/arm64'],
    ['linux/ppc64le', 'linux/ppc64le'],
  ])('%s is %s', (given, name) => {
    expect(formatPlatform(parsePlatform(given))).toBe(name);
  });

  it.each([
    '',
    'linux',
    'linux/',
    '/amd64',
    'linux/amd64/',
    'linux/amd64/v1/x',
    'linux/am d',
    'a/b\n',
  ])('refuses %j', (given) => {
    expect(() => parsePlatform(given)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    );
  });

  it('is idempotent', () => {
    fc.assert(
      fc.property(text, (given) => {
        const once = parsePlatform(given);
        expect(normalizePlatform(once)).toEqual(once);
        expect(parsePlatform(formatPlatform(once))).toEqual(once);
      }),
    );
  });
});

describe('runnablePlatforms', () => {
  // The vectors of containerd's platforms.Only (platforms/compare_test.go).
  it.each([
    ['linux/amd64', 'linux/amd64 linux/386'],
    ['linux/amd64/v3', 'linux/amd64/v3 linux/amd64/v2 linux/amd64 linux/386'],
    ['linux/arm', 'linux/arm/v7 linux/arm/v6 linux/arm/v5'],
    ['linux/arm/v6', 'linux/arm/v6 linux/arm/v5'],
    ['linux/arm/v5', 'linux/arm/v5'],
    ['linux/arm64', 'linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5'],
    [
      'linux/arm64/v8.2',
      'linux/arm64/v8.2 linux/arm64/v8.1 linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5',
    ],
    ['linux/s390x', 'linux/s390x'],
    ['windows/amd64', 'windows/amd64 windows/386'],
  ])('of %s', (given, expected) => {
    expect(runnablePlatforms(parsePlatform(given)).map(formatPlatform).join(' ')).toBe(expected);
  });

  it('of arm64/v9 has v9 first and then v8.5 and down', () => {
    const names = runnablePlatforms(parsePlatform('linux/arm64/v9')).map(formatPlatform);
    expect(names.slice(0, 3)).toEqual(['linux/arm64/v9', 'linux/arm64/v8.5', 'linux/arm64/v8.4']);
    expect(names).toContain('linux/arm64');
  });

  it('begins with the platform itself and has no doubles', () => {
    fc.assert(
      fc.property(text, (given) => {
        const platform = parsePlatform(given);
        const names = runnablePlatforms(platform).map(formatPlatform);
        expect(names[0]).toBe(formatPlatform(platform));
        expect(new Set(names).size).toBe(names.length);
        expect(platformRank(platform, platform)).toBe(0);
      }),
    );
  });

  it('is transitive: what runs an image runs what that image could run', () => {
    fc.assert(
      fc.property(text, (given) => {
        const names = new Set(runnablePlatforms(parsePlatform(given)).map(formatPlatform));
        for (const name of names) {
          for (const below of runnablePlatforms(parsePlatform(name)).map(formatPlatform)) {
            expect(names).toContain(below);
          }
        }
      }),
    );
  });

  it('is short for hostile variants', () => {
    expect(runnablePlatforms(parsePlatform('linux/arm/v999999999'))).toHaveLength(1);
    expect(runnablePlatforms(parsePlatform('linux/amd64/v9007199254740993'))).toHaveLength(3);
  });
});

describe('platformRank', () => {
  it('prefers the nearest and refuses the rest', () => {
    const v7 = parsePlatform('linux/arm/v7');
    expect(platformRank(v7, { os: 'linux', architecture: 'arm', variant: 'v7' })).toBe(0);
    expect(platformRank(v7, { os: 'linux', architecture: 'arm', variant: 'v6' })).toBe(1);
    expect(platformRank(v7, { os: 'linux', architecture: 'arm', variant: 'v8' })).toBeUndefined();
    expect(platformRank(v7, { os: 'linux', architecture: 'arm64' })).toBeUndefined();
    expect(platformRank(v7, { os: 'windows', architecture: 'arm', variant: 'v7' })).toBeUndefined();
    const arm64 = parsePlatform('linux/arm64');
    expect(platformRank(arm64, { os: 'linux', architecture: 'arm64', variant: 'v8' })).toBe(0);
  });
});

it('the host is a Linux platform with a name of Go', () => {
  const host = hostPlatform();
  expect(host.os).toBe('linux');
  expect(normalizePlatform(host)).toEqual(host);
  expect(['x64', 'ia32', 'aarch64']).not.toContain(host.architecture);
});
