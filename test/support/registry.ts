// A real registry (Debian's docker-registry) on the loopback interface, and pushing images to it over its API.

import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Agent, request } from 'undici';

const program = 'docker-registry';

/** Why tests with a registry cannot run here; undefined where they can. */
export const registryAbsence: string | undefined = onPath(program)
  ? undefined
  : `${program} is not installed`;

/** User and password of a registry with `auth`, as htpasswd's bcrypt has them. */
export const account = { username: 'tester', password: 'secret' } as const;
const htpasswd = 'tester:$2b$04$wOKG9mu0bYcbzJqwSgGVTOAg/UaaWd0FZb8EnZG/vsxGMpz2ULHOe\n';

export interface RegistryOptions {
  /** Speaks TLS, with a certificate of an authority of its own for 127.0.0.1 and localhost. */
  tls?: boolean;
  /** Basic authentication with {@link account}. */
  auth?: boolean;
}

export interface TestRegistry {
  /** `http://127.0.0.1:PORT`. */
  url: string;
  /** `127.0.0.1:PORT`. */
  host: string;
  /** PEM of the authority, with TLS. */
  ca: string;
  caFile: string;
  /** Pushes what an OCI layout has (`oci:DIR:TAG` or the directory); the reference to it. */
  push(layout: string, name: string): Promise<string>;
  /** Puts a document where a manifest goes. */
  putManifest(name: string, tag: string, mediaType: string, body: Buffer | string): Promise<void>;
  putBlob(name: string, digest: string, body: Buffer): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a registry with its storage in `directory`. */
export async function startRegistry(
  directory: string,
  { tls = false, auth = false }: RegistryOptions = {},
): Promise<TestRegistry> {
  await mkdir(directory, { recursive: true });
  const certificates = tls ? await makeCertificates(directory) : undefined;
  if (auth) {
    await writeFile(path.join(directory, 'htpasswd'), htpasswd);
  }
  for (let tries = 1; ; tries++) {
    const port = await freePort();
    const host = `127.0.0.1:${port}`;
    const config = {
      version: '0.1',
      log: { level: 'error', accesslog: { disabled: true } },
      storage: {
        filesystem: { rootdirectory: path.join(directory, 'storage') },
        maintenance: { uploadpurging: { enabled: false } },
      },
      validation: { manifests: { urls: { allow: ['^https?://'] } } },
      http: {
        addr: host,
        secret: 'test',
        ...(certificates && {
          tls: { certificate: certificates.certificate, key: certificates.key },
        }),
      },
      ...(auth && {
        auth: { htpasswd: { realm: 'test', path: path.join(directory, 'htpasswd') } },
      }),
    };
    const file = path.join(directory, 'config.json'); // YAML has JSON in it
    await writeFile(file, JSON.stringify(config));
    const child = spawn(program, ['serve', file], { stdio: 'ignore' });
    const ca = certificates === undefined ? '' : await readFile(certificates.ca, 'utf8');
    const url = `${tls ? 'https' : 'http'}://${host}`;
    const registry = new Registry(child, url, host, ca, certificates?.ca ?? '', auth);
    if (await registry.answers()) {
      return registry;
    }
    await registry.stop();
    if (tries === 3) {
      throw new Error(`${program} does not start`);
    }
  }
}

class Registry implements TestRegistry {
  readonly url: string;
  readonly host: string;
  readonly ca: string;
  readonly caFile: string;
  readonly #child: ChildProcess;
  readonly #agent: Agent;
  readonly #headers: Record<string, string>;

  constructor(
    child: ChildProcess,
    url: string,
    host: string,
    ca: string,
    caFile: string,
    auth: boolean,
  ) {
    this.#child = child;
    this.url = url;
    this.host = host;
    this.ca = ca;
    this.caFile = caFile;
    this.#agent = new Agent({ connect: { ca } });
    const { username, password } = account;
    const basic = Buffer.from(`${username}:${password}`).toString('base64');
    this.#headers = auth ? { authorization: `Basic ${basic}` } : {};
  }

  async answers(): Promise<boolean> {
    for (let tries = 0; tries < 400 && this.#child.exitCode === null; tries++) {
      try {
        const { statusCode } = await this.#send('GET', '/v2/');
        return statusCode === 200;
      } catch {
        await sleep(25);
      }
    }
    return false;
  }

  async push(layout: string, name: string): Promise<string> {
    const directory = layout.replace(/^oci:/, '').replace(/:[^:/]*$/, '');
    const index = JSON.parse(await readFile(path.join(directory, 'index.json'), 'utf8'));
    const [root] = index.manifests;
    const [repository = '', tag = 'latest'] = name.split(':');
    await this.#pushDocument(directory, repository, root, tag);
    return `${this.host}/${repository}:${tag}`;
  }

  async #pushDocument(
    directory: string,
    repository: string,
    { digest, mediaType }: { digest: string; mediaType: string },
    reference: string,
  ): Promise<void> {
    const body = await readFile(blobFile(directory, digest));
    const json = JSON.parse(body.toString());
    for (const child of json.manifests ?? []) {
      await this.#pushDocument(directory, repository, child, child.digest);
    }
    for (const blob of [json.config, ...(json.layers ?? [])].filter(Boolean)) {
      const file = blobFile(directory, blob.digest);
      await this.#upload(repository, blob.digest, createReadStream(file), (await stat(file)).size);
    }
    await this.putManifest(repository, reference, mediaType, body);
  }

  async putBlob(name: string, digest: string, body: Buffer): Promise<void> {
    await this.#upload(name, digest, body, body.length);
  }

  async putManifest(
    name: string,
    tag: string,
    mediaType: string,
    body: Buffer | string,
  ): Promise<void> {
    const answer = await this.#send('PUT', `/v2/${name}/manifests/${tag}`, body, {
      'content-type': mediaType,
    });
    expectStatus(answer, 201, `manifest ${tag}`);
  }

  async #upload(
    repository: string,
    digest: string,
    body: Buffer | ReturnType<typeof createReadStream>,
    size: number,
  ): Promise<void> {
    const known = await this.#send('HEAD', `/v2/${repository}/blobs/${digest}`);
    if (known.statusCode === 200) {
      if (!Buffer.isBuffer(body)) {
        body.destroy();
      }
      return;
    }
    const begun = await this.#send('POST', `/v2/${repository}/blobs/uploads/`);
    expectStatus(begun, 202, 'upload');
    const location = new URL(String(begun.headers.location), this.url);
    location.searchParams.set('digest', digest);
    const answer = await this.#send('PUT', `${location.pathname}${location.search}`, body, {
      'content-type': 'application/octet-stream',
      'content-length': String(size),
    });
    expectStatus(answer, 201, `blob ${digest}`);
  }

  async #send(
    method: 'GET' | 'HEAD' | 'POST' | 'PUT',
    target: string,
    body?: Buffer | string | ReturnType<typeof createReadStream>,
    headers: Record<string, string> = {},
  ) {
    const answer = await request(`${this.url}${target}`, {
      method,
      headers: { ...headers, ...this.#headers },
      body: body ?? null,
      dispatcher: this.#agent,
    });
    const text = await answer.body.text();
    return { ...answer, text };
  }

  async stop(): Promise<void> {
    await this.#agent.close();
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    }
  }
}

function expectStatus(answer: { statusCode: number; text: string }, wanted: number, what: string) {
  if (answer.statusCode !== wanted) {
    throw new Error(`${what}: the registry answered ${answer.statusCode}: ${answer.text}`);
  }
}

function blobFile(directory: string, digest: string): string {
  return path.join(directory, 'blobs', ...digest.split(':'));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function makeCertificates(directory: string) {
  const run = promisify(execFile);
  const at = (name: string) => path.join(directory, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await run('openssl', [
    ...['req', '-x509', '-subj', '/CN=test authority', '-days', '2', ...key],
    ...['-keyout', at('ca.key'), '-out', at('ca.pem')],
  ]);
  await run('openssl', [
    ...['req', '-new', '-subj', '/CN=registry', ...key],
    ...['-keyout', at('server.key'), '-out', at('server.csr')],
  ]);
  await writeFile(at('extensions'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  await run('openssl', [
    ...['x509', '-req', '-in', at('server.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key')],
    ...['-CAcreateserial', '-days', '2', '-extfile', at('extensions'), '-out', at('server.pem')],
  ]);
  return { ca: at('ca.pem'), certificate: at('server.pem'), key: at('server.key') };
}

function onPath(name: string): boolean {
  try {
    execFileSync('which', [name], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
