import { describe, expect, it } from 'vitest';
import { digestOf, isDigest, matchesDigest, parseDigest } from '../../src/oci/index.js';

const hex = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('digests', () => {
  it('are taken apart', () => {
    expect(parseDigest(`sha256:${hex}`)).toEqual({ algorithm: 'sha256', hex });
    expect(parseDigest(`sha512:${hex}${hex}`)).toEqual({ algorithm: 'sha512', hex: hex + hex });
  });

  it.each([
    '',
    'sha256:',
    hex,
    `sha256:${hex.toUpperCase()}`,
    `sha256:${hex}0`,
    `sha256:${hex.slice(1)}`,
    `sha512:${hex}`,
    `md5:${hex}`,
    `sha256:../../../../etc/passwd`,
    `sha256:${hex}\n`,
    ` sha256:${hex}`,
    `sha256:${hex.slice(0, 63)}/`,
  ])('refuses %j', (text) => {
    expect(isDigest(text)).toBe(false);
  });

  it('are made and compared', () => {
    expect(digestOf('')).toBe(`sha256:${hex}`);
    const bytes = Buffer.from('bytes');
    expect(matchesDigest(bytes, digestOf(bytes))).toBe(true);
    expect(matchesDigest(bytes, digestOf(bytes, 'sha512'))).toBe(true);
    expect(matchesDigest(bytes, digestOf('other'))).toBe(false);
    expect(matchesDigest(bytes, 'nonsense')).toBe(false);
  });
});
