// One HTTP request and its answer: connections, TLS, proxies of the environment, timeouts. Knows no redirects, no
// credentials, no registry.

import { setMaxListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { type Dispatcher, EnvHttpProxyAgent } from 'undici';
import { UnpackError } from '../errors.js';
import { fromTransport } from './failure.js';

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
  /** Its errors are made ours by {@link fromTransport}. */
  body: Dispatcher.ResponseData['body'];
}

/** How much of a body is read for its message. */
const maxMessageBytes = 64 * 1024;

export class Transport {
  readonly #timeouts: Timeouts;
  readonly #agents = new Map<TlsOptions, EnvHttpProxyAgent>();

  constructor(timeouts: Timeouts) {
    this.#timeouts = timeouts;
  }

  /** @throws UnpackError, TransientFailure */
  async exchange({ method, url, headers, body, tls, signal }: Exchange): Promise<Answer> {
    try {
      const { statusCode, ...answer } = await this.#agentFor(tls).request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method,
        // A blob's digest is that of its bytes as they are stored.
        headers: { 'accept-encoding': 'identity', 'user-agent': 'oci-unpack', ...headers },
        body: body ?? null,
        ...(signal && { signal }),
      });
      return { url, status: statusCode, headers: answer.headers, body: answer.body };
    } catch (error) {
      throw fromTransport(error, url);
    }
  }

  /** Closes all connections; what is under way fails. */
  async close(): Promise<void> {
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    await Promise.all(agents.map((agent) => agent.destroy()));
  }

  #agentFor(tls: TlsOptions): EnvHttpProxyAgent {
    let agent = this.#agents.get(tls);
    if (agent === undefined) {
      const { connect, stall } = this.#timeouts;
      const secure = secureOptions(tls);
      agent = new EnvHttpProxyAgent({
        ...proxiesOf(process.env),
        connect: { ...secure, timeout: connect },
        requestTls: { ...secure, timeout: connect },
        proxyTunnel: false, // for http: alone; few proxies let CONNECT through to its port
        headersTimeout: stall,
        bodyTimeout: stall,
      });
      setMaxListeners(0, agent);
      this.#agents.set(tls, agent);
    }
    return agent;
  }
}

/** Reads the first bytes of an answer as text, and lets go of it. */
export async function readText(answer: Answer, limit: number = maxMessageBytes): Promise<string> {
  return (await readBytes(answer, limit)).toString('utf8');
}

/** Reads at most `limit` bytes of an answer, and lets go of the rest. */
export async function readBytes(answer: Answer, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of answer.body) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length >= limit) {
        break;
      }
    }
  } catch (error) {
    throw fromTransport(error, answer.url);
  }
  return Buffer.concat(chunks);
}

/** Lets go of an answer that nobody wants to read. */
export function discard(answer: Answer): void {
  answer.body.on('error', () => undefined);
  answer.body.destroy();
}

/** The first value of a header. */
export function headerOf(answer: { headers: Headers }, name: string): string | undefined {
  return [answer.headers[name] ?? []].flat()[0];
}

function secureOptions({ ca, client, skipVerify }: TlsOptions): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  if (ca !== undefined && ca.length > 0) {
    options.ca = [...rootCertificates, ...extraAuthorities(), ...ca];
  } else if (process.env.SSL_CERT_FILE) {
    options.ca = [...rootCertificates, ...extraAuthorities()];
  }
  if (client !== undefined && client.length > 0) {
    options.cert = client.map(({ cert }) => cert);
    options.key = client.map(({ key }) => key);
  }
  if (skipVerify) {
    options.rejectUnauthorized = false;
  }
  return options;
}

/** Variables in lower case come first; one that is empty does not count. */
function proxiesOf(env: NodeJS.ProcessEnv) {
  const get = (name: string) => env[name.toLowerCase()] || env[name] || '';
  return {
    httpProxy: get('HTTP_PROXY') || get('ALL_PROXY'),
    httpsProxy: get('HTTPS_PROXY') || get('ALL_PROXY'),
    noProxy: get('NO_PROXY'),
  };
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
