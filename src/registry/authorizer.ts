// Proves to one registry host who we are, when it asks for it: Bearer tokens from the realm that it names, or Basic.
// Docker's token authentication (distribution.github.io/distribution/spec/auth/token) and its OAuth2 form.

import { UnpackError } from '../errors.js';
import { type Challenge, parseChallenges } from './challenge.js';
import type { Credentials } from './credentials.js';
import { TransientFailure } from './failure.js';
import { follow } from './redirects.js';
import {
  type Answer,
  type Headers,
  readText,
  type TlsOptions,
  type Transport,
} from './transport.js';

/** Tokens are not used in their last seconds. */
const marginMilliseconds = 10_000;
/** Of a token that does not say it (the specification's). */
const defaultLifetime = 60;

export interface AuthorizerOptions {
  transport: Transport;
  /** Of the registry: where credentials may go without TLS. */
  origin: string;
  tls: TlsOptions;
  /** What is asked for where the challenge does not say it. */
  scope: string;
  /** Looked up when the registry asks. */
  credentials: (signal: AbortSignal | undefined) => Promise<Credentials | undefined>;
}

export class Authorizer {
  readonly #options: AuthorizerOptions;
  /** What is said of the registry's own certificate does not hold for others. */
  readonly #foreignTls: TlsOptions;
  #credentials: Promise<Credentials | undefined> | undefined;
  /** What the registry has asked for. */
  #challenge: Challenge | undefined;
  #token: { header: string; expires: number } | undefined;
  #refreshing: Promise<void> | undefined;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
    this.#foreignTls = { ca: options.tls.ca };
  }

  /** The Authorization header for the next request; undefined until the registry has asked for one. */
  async header(signal: AbortSignal | undefined): Promise<string | undefined> {
    if (this.#challenge === undefined) {
      return undefined;
    }
    if (this.#token === undefined || Date.now() > this.#token.expires) {
      await this.#refresh(signal);
    }
    return this.#token?.header;
  }

  /**
   * Takes up what an answer 401 asks for; whether another try makes sense.
   *
   * @param used the header that was refused
   */
  async accept(
    headers: Headers,
    used: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    if (used !== undefined && used !== this.#token?.header) {
      return true; // another request has got a new one meanwhile
    }
    const challenges = parseChallenges(headers['www-authenticate']);
    const found =
      challenges.find(({ scheme }) => scheme === 'bearer') ??
      challenges.find(({ scheme }) => scheme === 'basic');
    if (found === undefined || (found.scheme === 'basic' && used !== undefined)) {
      return false;
    }
    this.#challenge = found;
    this.#token = undefined;
    await this.#refresh(signal);
    return this.#token !== undefined;
  }

  /** One refresh at a time, which all wait for. */
  async #refresh(signal: AbortSignal | undefined): Promise<void> {
    this.#refreshing ??= this.#fetch(signal).finally(() => {
      this.#refreshing = undefined;
    });
    await this.#refreshing;
  }

  async #fetch(signal: AbortSignal | undefined): Promise<void> {
    this.#credentials ??= this.#options.credentials(signal);
    const credentials = await this.#credentials;
    if (credentials !== undefined && 'registryToken' in credentials) {
      this.#token = bearer(credentials.registryToken, Number.POSITIVE_INFINITY);
      return;
    }
    if (this.#challenge?.scheme === 'basic') {
      this.#token =
        credentials !== undefined && 'username' in credentials
          ? { header: basic(credentials), expires: Number.POSITIVE_INFINITY }
          : undefined;
      return;
    }
    this.#token = await this.#fetchToken(credentials, signal);
  }

  async #fetchToken(credentials: Credentials | undefined, signal: AbortSignal | undefined) {
    const { transport, tls, origin, scope } = this.#options;
    const { realm = '', service, scope: said } = this.#challenge?.parameters ?? {};
    const asked = said || scope;
    const url = this.#realmURL(realm, credentials !== undefined);
    const fields = new URLSearchParams();
    if (service !== undefined) {
      fields.set('service', service);
    }
    for (const one of asked.split(' ').filter((part) => part !== '')) {
      fields.append('scope', one);
    }
    const oauth = credentials !== undefined && 'identityToken' in credentials;
    const request = { url, tls: url.origin === origin ? tls : this.#foreignTls, signal };
    if (oauth) {
      fields.set('scope', asked);
      fields.set('grant_type', 'refresh_token');
      fields.set('refresh_token', credentials.identityToken);
      fields.set('client_id', 'oci-unpack');
      const body = fields.toString();
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      return readToken(await transport.exchange({ ...request, method: 'POST', headers, body }));
    }
    for (const [name, value] of fields) {
      url.searchParams.append(name, value);
    }
    const isNamed = credentials !== undefined && 'username' in credentials;
    const own: Record<string, string> = isNamed ? { authorization: basic(credentials) } : {};
    const get = { ...request, method: 'GET' } as const;
    return readToken(await follow(transport, get, own, this.#foreignTls));
  }

  /** The realm as a URL. The registry's word is taken for where to go, but a secret goes nowhere in the clear. */
  #realmURL(realm: string, secret: boolean): URL {
    const fail = (problem: string): never => {
      throw new UnpackError(
        'ERR_REGISTRY_AUTH',
        `${this.#options.origin}: its token realm ${JSON.stringify(realm)} ${problem}`,
      );
    };
    let url: URL;
    try {
      url = new URL(realm);
    } catch {
      return fail('is not a URL');
    }
    if (url.protocol !== 'https:' && url.protocol !== 'http:') {
      fail('is not a URL of http or https');
    }
    if (secret && url.protocol === 'http:' && !this.#options.origin.startsWith('http:')) {
      fail('has no TLS, and credentials would go there');
    }
    url.username = '';
    url.password = '';
    return url;
  }
}

async function readToken(answer: Answer): Promise<{ header: string; expires: number }> {
  const text = await readText(answer, 1024 * 1024);
  const where = `${answer.url.origin}${answer.url.pathname}`;
  if (answer.status !== 200) {
    const error = new UnpackError('ERR_REGISTRY_AUTH', `${where}: answered ${answer.status}`);
    throw answer.status === 429 || answer.status >= 500 ? new TransientFailure(error) : error;
  }
  let json: { token?: unknown; access_token?: unknown; expires_in?: unknown };
  try {
    json = JSON.parse(text) as typeof json;
  } catch {
    throw new UnpackError('ERR_REGISTRY_AUTH', `${where}: did not answer in JSON`);
  }
  const token = json?.token || json?.access_token;
  if (typeof token !== 'string' || token === '' || /[^\x21-\x7e]/.test(token)) {
    throw new UnpackError('ERR_REGISTRY_AUTH', `${where}: has no token in its answer`);
  }
  const seconds = typeof json.expires_in === 'number' ? json.expires_in : defaultLifetime;
  const lifetime = Math.max(seconds * 1000 - marginMilliseconds, (seconds * 1000) / 2);
  return bearer(token, Date.now() + lifetime);
}

function bearer(token: string, expires: number) {
  return { header: `Bearer ${token}`, expires };
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
