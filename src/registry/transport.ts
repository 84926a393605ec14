// One HTTP request and its answer: connections, TLS, proxies of the environment, timeouts. Knows no redirects, no
// credentials, no registry.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setImmediate } from 'node:timers/promises';
import { createSecureContext, rootCertificates, type SecureContextOptions } from 'node:tls';
import type { Agent, Dispatcher } from 'undici';
import { UnpackError } from '../errors.js';
import { ResponseBody } from './body.js';
import { fromTransport } from './failure.js';
import { receiveIntoOneBuffer } from './one-buffer.js';
import { isExcepted, type Proxies, proxiesOf } from './proxies.js';

/** How to speak TLS with a host. */
export interface TlsOptions {
  /** PEM of authorities that are trusted beside the system's. */
  ca?: readonly string[] | undefined;
  /** PEM of certificates and keys that say who we are. */
  client?: readonly { cert: string; key: string }[] | undefined;
  /** Whoever the host is: from hosts.toml alone. */
  skipVerify?: boolean | undefined;
}

/** Milliseconds. */
export interface Timeouts {
  connect: number;
  /** Until the headers of the answer, and between two pieces of its body. */
  stall: number;
}

export interface Exchange {
  method: 'GET' | 'HEAD' | 'POST';
  url: URL;
  headers?: Readonly<Record<string, string>>;
  body?: string | undefined;
  tls: TlsOptions;
  signal?: AbortSignal | undefined;
}

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

export interface Answer {
  url: URL;
  status: number;
  headers: Headers;
  body: ResponseBody;
}

/** How much of a body is read for its message. */
const maxMessageBytes = 64 * 1024;

export class Transport {
  readonly #timeouts: Timeouts;
  readonly #proxies: Proxies;
  /** By what is said of TLS; those without TLS need nothing of it. */
  readonly #direct = new Map<TlsOptions | 'plain', Dispatcher>();
  readonly #proxied = new Map<TlsOptions | 'plain', Dispatcher>();

  /** @throws UnpackError where the environment names a proxy that is none */
  constructor(timeouts: Timeouts) {
    this.#timeouts = timeouts;
    this.#proxies = proxiesOf(process.env);
  }

  /** @throws UnpackError, TransientFailure */
  async exchange({ method, url, headers, body, tls, signal }: Exchange): Promise<Answer> {
    const request = {
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method,
      // A blob's digest is that of its bytes as they are stored.
      headers: { 'accept-encoding': 'identity', 'user-agent': 'oci-unpack', ...headers },
      body: body ?? null,
    };
    return await dispatch(this.#agentFor(url, tls), url, request, signal);
  }

  /** Closes all connections; what is under way fails. */
  async close(): Promise<void> {
    const agents = [...this.#direct.values(), ...this.#proxied.values()];
    this.#direct.clear();
    this.#proxied.clear();
    await Promise.all(agents.map((agent) => agent.destroy()));
  }

  #agentFor(url: URL, tls: TlsOptions): Dispatcher {
    const key = url.protocol === 'https:' ? tls : 'plain';
    const proxies = this.#proxies;
    const isProxied =
      proxies.httpProxy + proxies.httpsProxy !== '' && !isExcepted(url.hostname, proxies.noProxy);
    const agents = isProxied ? this.#proxied : this.#direct;
    let agent = agents.get(key);
    if (agent === undefined) {
      const { connect, stall } = this.#timeouts;
      const secure = { ...(key !== 'plain' && secureOptions(key, url)), timeout: connect };
      const options = { connect: secure, headersTimeout: stall, bodyTimeout: stall };
      if (!isProxied) {
        const onread = receiveIntoOneBuffer();
        agent = new (loadAgent())({ ...options, connect: { ...secure, onread } as typeof secure });
      } else {
        const { EnvHttpProxyAgent } = load('undici') as typeof import('undici');
        // proxyTunnel is for http: alone; few proxies let CONNECT through to its port.
        agent = new EnvHttpProxyAgent({
          ...options,
          ...proxies,
          requestTls: secure,
          proxyTunnel: false,
        });
      }
      agents.set(key, agent);
    }
    return agent;
  }
}

const load = createRequire(import.meta.url);

/** Without the rest of undici (fetch, WebSocket, caches), which takes longer to load than a small image to pull. */
function loadAgent(): typeof Agent {
  try {
    return load('undici/lib/dispatcher/agent.js') as typeof Agent;
  } catch {
    return (load('undici') as typeof import('undici')).Agent; // another version, with other files
  }
}

/** Sends a request; resolves when the headers of its answer are there. */
function dispatch(
  agent: Dispatcher,
  url: URL,
  request: Dispatcher.DispatchOptions,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let body: ResponseBody | undefined;
    let controller: Dispatcher.DispatchController | undefined;
    const abortError = () => Object.assign(new Error('aborted'), { name: 'AbortError' });
    const onAbort = () => {
      const error = abortError();
      controller?.abort(error);
      end(error); // at once, also where there is no connection yet
    };
    const end = (caught?: unknown) => {
      signal?.removeEventListener('abort', onAbort);
      const error = caught === undefined ? undefined : fromTransport(caught, url);
      body?.end(error);
      reject(error);
    };
    if (signal?.aborted) {
      end(abortError());
      return;
    }
    signal?.addEventListener('abort', onAbort, { once: true });
    agent.dispatch(request, {
      onRequestStart: (started) => {
        controller = started;
        if (signal?.aborted) {
          started.abort(abortError());
        }
      },
      onResponseStart: (started, status, headers) => {
        if (status >= 200) {
          body = new ResponseBody(started);
          resolve({ url, status, headers, body });
        }
      },
      onResponseData: (_, piece) => body?.push(piece),
      onResponseEnd: () => end(),
      onResponseError: (_, error) => end(error),
    });
  });
}

/** Reads the first bytes of an answer as text, and lets go of it. */
export async function readText(answer: Answer, limit: number = maxMessageBytes): Promise<string> {
  return (await readBytes(answer, limit)).toString('utf8');
}

/** Reads at most `limit` bytes of an answer, and lets go of the rest. */
export async function readBytes(answer: Answer, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  await answer.body.read((chunk) => {
    chunks.push(Buffer.from(chunk));
    length += chunk.length;
    return length >= limit ? 'enough' : undefined;
  });
  // undici has the connection for the next request by then; at once it would open another one.
  await setImmediate();
  return Buffer.concat(chunks);
}

/** The first value of a header. */
export function headerOf(answer: { headers: Headers }, name: string): string | undefined {
  return [answer.headers[name] ?? []].flat()[0];
}

/**
 * Options of `tls.connect`. What must be parsed is so once, not for each connection: with the usual authorities that takes
 * a tenth of a second.
 */
function secureOptions({ ca, client, skipVerify }: TlsOptions, url: URL): Record<string, unknown> {
  const own: SecureContextOptions = {};
  if (ca !== undefined && ca.length > 0) {
    for (const text of ca) {
      checkAuthorities(text, url);
    }
    own.ca = [...rootCertificates, ...extraAuthorities(), ...ca];
  } else if (process.env.SSL_CERT_FILE) {
    own.ca = [...rootCertificates, ...extraAuthorities()];
  }
  if (client !== undefined && client.length > 0) {
    own.cert = client.map(({ cert }) => cert);
    own.key = client.map(({ key }) => key);
  }
  try {
    return {
      ...(Object.keys(own).length > 0 && { secureContext: createSecureContext(own) }),
      // Also where NODE_TLS_REJECT_UNAUTHORIZED is 0: that is said for other connections than to registries.
      rejectUnauthorized: !skipVerify,
    };
  } catch (error) {
    throw fromTransport(error, url);
  }
}

/** OpenSSL passes over what it cannot read, and the server's certificate would be blamed. */
function checkAuthorities(text: string, url: URL): void {
  const certificates =
    text.match(/-----BEGIN [^-]*CERTIFICATE-----[^-]*-----END [^-]*-----/g) ?? [];
  try {
    for (const certificate of certificates) {
      new X509Certificate(certificate);
    }
  } catch {
    certificates.length = 0;
  }
  if (certificates.length === 0) {
    const shown = JSON.stringify(text.trim().slice(0, 60));
    const problem = `what was given as the certificate of an authority is none in PEM: ${shown}`;
    throw new UnpackError('ERR_INVALID_ARGUMENT', `${url.host}: ${problem}`);
  }
}

/** Authorities of the environment, which a list of one's own would hide from Node. */
function extraAuthorities(): string[] {
  const files = [process.env.NODE_EXTRA_CA_CERTS, process.env.SSL_CERT_FILE];
  return files.flatMap((file) => {
    if (file === undefined || file === '') {
      return [];
    }
    try {
      return [readFileSync(file, 'utf8')];
    } catch (error) {
      throw UnpackError.fromSystem(error, file);
    }
  });
}
