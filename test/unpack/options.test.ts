import { describe, expect, test } from 'vitest';
import { type CommonOptions, limitDefaults, policyValues } from '../../src/index.js';
import { resolveOptions } from '../../src/unpack/options.js';

describe('resolveOptions', () => {
  test('fills in the defaults of SEMANTICS', () => {
    expect(resolveOptions({})).toEqual({
      format: 'overlay',
      concurrency: 0,
      policies: {
        symlinkParents: 'follow',
        overlayXattrs: 'escape',
        xattrs: 'strict',
        devices: 'create',
        deviceWhiteouts: 'error',
        trailingGarbage: 'error',
        ownership: 'apply',
      },
      limits: {},
    });
  });

  test('takes every value of every policy, and every limit', () => {
    for (const [name, values] of Object.entries(policyValues)) {
      for (const value of values.filter((value) => value !== 'map')) {
        const { policies } = resolveOptions({ policies: { [name]: value } });
        expect(policies).toHaveProperty(name, value);
      }
    }
    expect(resolveOptions({ limits: limitDefaults }).limits).toEqual(limitDefaults);
  });

  test('takes id maps with ownership map', () => {
    const uidMap = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
    const { policies } = resolveOptions({ policies: { ownership: 'map', uidMap, gidMap: uidMap } });
    expect(policies).toMatchObject({ ownership: 'map', uidMap, gidMap: uidMap });
  });

  const map = [{ containerID: 0, hostID: 0, size: 1 }];
  test.each<[string, unknown]>([
    ['format', { format: 'tar' }],
    ['policies.xattrs', { policies: { xattrs: 'lax' } }],
    ['policies: xattr ', { policies: { xattr: 'strict' } }],
    ['policies.uidMap', { policies: { ownership: 'map', gidMap: map } }],
    ['policies.ownership', { policies: { uidMap: map } }],
    [
      'policies.gidMap.size',
      { policies: { ownership: 'map', uidMap: map, gidMap: [{ ...map[0], size: 0 }] } },
    ],
    [
      'policies.uidMap.size',
      {
        policies: {
          ownership: 'map',
          gidMap: map,
          uidMap: [{ ...map[0], hostID: 2 ** 32 - 2, size: 2 }],
        },
      },
    ],
    ['limits.maxBytes', { limits: { maxBytes: 0 } }],
    ['limits.maxEntries', { limits: { maxEntries: 1.5 } }],
    ['limits.maxRatio', { limits: { maxRatio: Number.NaN } }],
    ['limits: maxSize', { limits: { maxSize: 1 } }],
    ['concurrency', { concurrency: -1 }],
    ['concurrency', { concurrency: 65 }],
    ['concurrency', { concurrency: '2' }],
  ])('refuses a wrong %s', (what, options) => {
    expect(() => resolveOptions(options as CommonOptions)).toThrowError(
      expect.objectContaining({
        code: 'ERR_INVALID_ARGUMENT',
        message: expect.stringContaining(what),
      }),
    );
  });
});
