// The proxies that the environment names, as curl and Go's programs read it.

import { BlockList, isIP } from 'node:net';
import { UnpackError } from '../errors.js';

/** URLs; empty where there is none. */
export interface Proxies {
  httpProxy: string;
  httpsProxy: string;
  noProxy: string;
}

/**
 * Variables in lower case come first; one that is empty does not count. A proxy without a scheme speaks HTTP.
 *
 * @throws UnpackError `ERR_INVALID_ARGUMENT` for one that is not a URL, without its text: it may hold a password
 */
export function proxiesOf(env: NodeJS.ProcessEnv): Proxies {
  const proxy = (...names: string[]): string => {
    for (const name of names) {
      const text = env[name.toLowerCase()] || env[name] || '';
      if (text !== '') {
        const url = text.includes('://') ? text : `http://${text}`;
        if (URL.canParse(url) && /^(https?|socks5?):$/.test(new URL(url).protocol)) {
          return url;
        }
        const problem = 'is not the URL of a proxy, http://HOST:PORT';
        throw new UnpackError('ERR_INVALID_ARGUMENT', `$${name}: ${problem}`);
      }
    }
    return '';
  };
  return {
    httpProxy: proxy('HTTP_PROXY', 'ALL_PROXY'),
    httpsProxy: proxy('HTTPS_PROXY', 'ALL_PROXY'),
    noProxy: env.no_proxy || env.NO_PROXY || '',
  };
}

/**
 * Whether a host of a URL is an address that `noProxy` names, or one of a network of it (`10.0.0.0/8`): of these undici
 * knows nothing.
 */
export function isExcepted(host: string, noProxy: string): boolean {
  const address = host.replace(/^\[|\]$/g, '');
  const version = isIP(address);
  return (
    version !== 0 &&
    noProxy.split(/[,\s]+/).some((entry) => {
      const [network = '', bits = version === 4 ? '32' : '128'] = entry.split('/');
      if (isIP(network) !== version || !/^\d{1,3}$/.test(bits)) {
        return false;
      }
      const length = Math.min(Number(bits), version === 4 ? 32 : 128);
      const family = version === 4 ? 'ipv4' : 'ipv6';
      const list = new BlockList();
      list.addSubnet(network, length, family);
      return list.check(address, family);
    })
  );
}
