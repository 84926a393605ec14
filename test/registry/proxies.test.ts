import { describe, expect, it } from 'vitest';
import { isExcepted, proxiesOf } from '../../src/registry/proxies.js';

describe('proxies of the environment', () => {
  it('for both kinds, lower case first', () => {
    const none = { httpProxy: '', httpsProxy: '', noProxy: '' };
    expect(proxiesOf({ HTTP_PROXY: '' })).toEqual(none);
    expect(proxiesOf({ HTTP_PROXY: 'http://a', http_proxy: 'http://b', NO_PROXY: 'x' })).toEqual({
      ...none,
      httpProxy: 'http://b',
      noProxy: 'x',
    });
    const url = 'socks5://u:p@a:1';
    expect(proxiesOf({ all_proxy: url })).toEqual({ ...none, httpProxy: url, httpsProxy: url });
  });

  it('without a scheme', () => {
    expect(proxiesOf({ https_proxy: '10.0.0.1:3128' }).httpsProxy).toBe('http://10.0.0.1:3128');
  });

  it.each(['http://', '://x', 'http://secret:99999', 'ftp://secret'])('not %s', (url) => {
    const read = () => proxiesOf({ HTTP_PROXY: url });
    expect(read).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
    expect(read).not.toThrow('secret');
  });
});

describe('$NO_PROXY', () => {
  it.each([
    ['10.1.2.3', 'a.example, 10.0.0.0/8', true],
    ['10.1.2.3', '10.1.2.3', true],
    ['11.1.2.3', '10.0.0.0/8', false],
    ['[fd00::1]', 'fd00::/8', true],
    ['[::1]', '::1', true],
    ['[::1]', '0.0.0.0/0', false],
    ['10.1.2.3', '10.0.0.0/x,10.0.0.0/', false],
    ['a.example', '10.0.0.0/8', false],
    ['10.1.2.3', '', false],
  ])('%s by %s: %s', (host, noProxy, expected) => {
    expect(isExcepted(host, noProxy)).toBe(expected);
  });
});
