import { describe, expect, it } from 'vitest';
import { parseChallenges } from '../../src/registry/challenge.js';
import { parseRetryAfter } from '../../src/registry/retry.js';

describe('WWW-Authenticate', () => {
  it.each([
    [
      'Bearer realm="https://a/token",service="s",scope="repository:a/b:pull,push"',
      [
        {
          scheme: 'bearer',
          parameters: { realm: 'https://a/token', service: 's', scope: 'repository:a/b:pull,push' },
        },
      ],
    ],
    ['Basic realm="x y"', [{ scheme: 'basic', parameters: { realm: 'x y' } }]],
    [
      'Basic realm="a", Bearer Realm = "b" , service=c',
      [
        { scheme: 'basic', parameters: { realm: 'a' } },
        { scheme: 'bearer', parameters: { realm: 'b', service: 'c' } },
      ],
    ],
    ['Basic realm="a\\"b"', [{ scheme: 'basic', parameters: { realm: 'a"b' } }]],
    ['Negotiate', [{ scheme: 'negotiate', parameters: {} }]],
    [
      'Negotiate, NTLM TlRMTVNTUAAB==, Bearer, Basic realm="a"',
      [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'ntlm', parameters: {} },
        { scheme: 'bearer', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'a' } },
      ],
    ],
    ['=', []],
    ['', []],
  ])('%s', (header, expected) => {
    expect(parseChallenges(header)).toEqual(expected);
  });

  it('may come in several headers', () => {
    const schemes = parseChallenges(['Basic realm="a"', 'Bearer realm="b"']).map(
      (one) => one.scheme,
    );
    expect(schemes).toEqual(['basic', 'bearer']);
    expect(parseChallenges(undefined)).toEqual([]);
  });
});

describe('Retry-After', () => {
  it.each([
    ['3', 3000],
    [' 0 ', 0],
    [new Date(10_000).toUTCString(), 4000],
    [new Date(1000).toUTCString(), 0],
    ['soon', undefined],
    [undefined, undefined],
  ])('%s', (header, expected) => {
    expect(parseRetryAfter(header, 6000)).toBe(expected);
  });
});
