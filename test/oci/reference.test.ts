import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatImageName, normalizeImageName, parseImageName } from '../../src/oci/index.js';

const sha = `sha256:${'0123456789abcdef'.repeat(4)}`;

describe('parseImageName', () => {
  it.each([
    ['debian', 'docker.io/library/debian:latest'],
    ['debian:12', 'docker.io/library/debian:12'],
    ['bitnami/redis', 'docker.io/bitnami/redis:latest'],
    ['docker.io/debian', 'docker.io/library/debian:latest'],
    ['index.docker.io/debian', 'docker.io/library/debian:latest'],
    ['localhost/a', 'localhost/a:latest'],
    ['localhost:5000/a/b:t', 'localhost:5000/a/b:t'],
    ['ghcr.io/a/b__c/d-e.f', 'ghcr.io/a/b__c/d-e.f:latest'],
    ['[::1]:5000/a', '[::1]:5000/a:latest'],
    ['Host/a', 'Host/a:latest'],
    [`a@${sha}`, `docker.io/library/a@${sha}`],
    [`r.io/a:1@${sha}`, `r.io/a:1@${sha}`],
  ])('%s is %s', (text, full) => {
    expect(formatImageName(parseImageName(text))).toBe(full);
  });

  it.each([
    '',
    ':tag',
    'a:',
    'A',
    'a/B',
    'a//b',
    'a/',
    '/a',
    'a___b',
    '-a',
    'a-',
    'a..b',
    'a:-t',
    `a:${'t'.repeat(129)}`,
    'a@',
    'a@sha256:1',
    `a@${sha}@${sha}`,
    '-host.io/a',
    'host.io:port/a',
    'a b',
    'a\n',
    'a'.repeat(256),
    '0123456789abcdef'.repeat(4),
    'https://host.io/a',
  ])('refuses %j', (text) => {
    expect(() => parseImageName(text)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_REFERENCE' }),
    );
    expect(normalizeImageName(text)).toBeUndefined();
  });

  it('says what is wrong', () => {
    expect(() => parseImageName('Debian')).toThrow('lower case');
    expect(() => parseImageName('0123456789abcdef'.repeat(4))).toThrow('image ID');
  });

  it('gives back what it formats', () => {
    const component = fc.stringMatching(/^[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}$/);
    const host = fc.oneof(
      fc.constantFrom(
        'docker.io',
        'localhost',
        'localhost:5000',
        '[fe80::1]:80',
        'r.example.com:443',
      ),
      fc.stringMatching(/^[a-z0-9]{1,5}\.[A-Za-z0-9]{1,5}(:[0-9]{1,5})?$/),
    );
    const name = fc.record({
      domain: host,
      path: fc.array(component, { minLength: 2, maxLength: 4 }).map((parts) => parts.join('/')),
      tag: fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/),
      digest: fc.option(fc.constant(sha), { nil: undefined }),
    });
    fc.assert(
      fc.property(name, ({ digest, ...rest }) => {
        const whole = { ...rest, ...(digest !== undefined && { digest }) };
        expect(parseImageName(formatImageName(whole))).toEqual(whole);
      }),
    );
  });

  it('answers any text at once: a name or a typed error', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ maxLength: 400 }), fc.stringMatching(/^[a-z0-9._:@/-]{0,300}$/)),
        (text) => {
          const full = normalizeImageName(text);
          if (full !== undefined) {
            expect(normalizeImageName(full)).toBe(full);
          } else {
            expect(() => parseImageName(text)).toThrow(
              expect.objectContaining({ code: 'ERR_INVALID_REFERENCE' }),
            );
          }
        },
      ),
    );
  });

  it('gives no pattern that could go back a long text', () => {
    const { test } = RegExp.prototype;
    let longest = 0;
    RegExp.prototype.test = function (text: string) {
      if (/[*+]/.exec(this.source)) {
        longest = Math.max(longest, text.length);
      }
      return test.call(this, text);
    };
    try {
      for (const evil of [
        'a-'.repeat(100_000),
        `${'a'.repeat(200_000)}!`,
        `${'a.'.repeat(100_000)}/x`,
      ]) {
        expect(normalizeImageName(evil)).toBeUndefined();
      }
      expect(normalizeImageName('a.io/b')).toBe('a.io/b:latest');
    } finally {
      RegExp.prototype.test = test;
    }
    expect(longest).toBe('a.io'.length);
  });
});
