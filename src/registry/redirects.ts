// Goes where an answer redirects to, and tells nobody there who we are.

import { unexpected } from './failure.js';
import {
  type Answer,
  type Exchange,
  headerOf,
  type TlsOptions,
  type Transport,
} from './transport.js';

const statuses: readonly number[] = [301, 302, 303, 307, 308];
const maxRedirects = 10;

/**
 * Exchanges `request`, and follows redirects. The headers `own`, which may hold secrets, and its TLS options go to the host
 * itself and never to another origin, nor back to it from there; `foreignTls` are those for others.
 */
export async function follow(
  transport: Transport,
  request: Exchange & { method: 'GET' | 'HEAD' },
  own: Readonly<Record<string, string>>,
  foreignTls: TlsOptions,
): Promise<Answer> {
  let { url, tls } = request;
  let secrets = own;
  for (let redirects = 0; ; redirects++) {
    const headers = { ...request.headers, ...secrets };
    const answer = await transport.exchange({ ...request, url, tls, headers });
    const location = headerOf(answer, 'location');
    if (!statuses.includes(answer.status) || location === undefined) {
      return answer;
    }
    answer.body.discard();
    if (redirects === maxRedirects) {
      throw unexpected(url.host, `redirects more than ${maxRedirects} times`);
    }
    const next = redirectTarget(url, location);
    if (next.origin !== url.origin) {
      secrets = {};
      tls = foreignTls;
    }
    url = next;
  }
}

function redirectTarget(from: URL, location: string): URL {
  let url: URL;
  try {
    url = new URL(location, from);
  } catch {
    throw unexpected(from.host, `redirects to ${JSON.stringify(location)}, which is not a URL`);
  }
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && from.protocol === 'http:')) {
    throw unexpected(from.host, `redirects to ${url.origin}, away from TLS`);
  }
  url.username = '';
  url.password = '';
  return url;
}
