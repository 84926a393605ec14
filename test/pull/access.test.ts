// Who we say that we are, and to whom: TLS, Basic, Bearer, mirrors, proxies; and that nobody else is told.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Store } from '../../src/index.js';
import { digestOf, mediaTypes } from '../../src/oci/index.js';
import { runCommand } from '../support/command.js';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.js';
import { expectSameAsImport, quick, usePullFixture } from '../support/pull.js';
import { account, registryAbsence, startRegistry, type TestRegistry } from '../support/registry.js';
import { scratchRoot } from '../support/scratch.js';
import { withStore } from '../support/store.js';
import { file, tar } from '../support/tar-builder.js';
import { platform } from '../support/write-image.js';

const cannot = process.geteuid?.() !== 0 ? 'not root' : registryAbsence;
const basic = `Basic ${Buffer.from(`${account.username}:${account.password}`).toString('base64')}`;

describe.skipIf(cannot !== undefined)(`access${cannot ? ` (skipped: ${cannot})` : ''}`, () => {
  const fixture = usePullFixture();
  let scratch = '';
  beforeAll(async () => {
    scratch = await mkdtemp(path.join(scratchRoot, 'oci-unpack-access-'));
  });
  afterAll(() => rm(scratch, { recursive: true, force: true }));

  /** An auth file with the account for that host. */
  async function authFileFor(...hosts: string[]): Promise<string> {
    const auth = basic.replace('Basic ', '');
    const directory = await mkdtemp(path.join(scratch, 'auth-'));
    const name = path.join(directory, 'auth.json');
    const auths = Object.fromEntries(hosts.map((host) => [host, { auth }]));
    await writeFile(name, JSON.stringify({ auths }));
    return name;
  }

  function fails(store: Store, reference: string, options: object, code: string, text = '') {
    const pull = store.pull(reference, { ...quick, ...options });
    return expect(pull).rejects.toMatchObject({ code, message: expect.stringContaining(text) });
  }

  describe('a registry with TLS and htpasswd', () => {
    let registry: TestRegistry;
    let reference = '';
    beforeAll(async () => {
      registry = await startRegistry(path.join(scratch, 'secure'), { tls: true, auth: true });
      reference = await registry.push(fixture.layout, 'private/image:1');
    });
    afterAll(() => registry?.stop());

    it('lets in who has the password, and is who its certificate says', async () => {
      await withStore(async (store) => {
        const tls = { plainHttp: false, ca: [registry.ca] };
        const none = await authFileFor('elsewhere.example');
        process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
        try {
          await fails(store, reference, { plainHttp: false }, 'ERR_TLS');
        } finally {
          delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
        }
        const damaged = registry.ca.replace(/^M/m, '');
        await fails(store, reference, { ...tls, ca: [damaged] }, 'ERR_INVALID_ARGUMENT', 'PEM');
        await fails(store, reference, { plainHttp: true }, 'ERR_REGISTRY', '400');
        await fails(store, reference, { ...tls, authFile: none }, 'ERR_REGISTRY_AUTH');
        const wrong = { username: 'tester', password: 'wrong' };
        await fails(store, reference, { ...tls, credentials: wrong }, 'ERR_REGISTRY_AUTH');
        const name = reference.replace('127.0.0.1', 'localhost');
        const authFile = await authFileFor(registry.host);
        await fails(store, name, { ...tls, authFile }, 'ERR_REGISTRY_AUTH');
        const report = await store.pull(reference, { ...quick, ...tls, authFile });
        await expectSameAsImport(report, fixture.layout);
      });
    });

    it('with $REGISTRY_AUTH_FILE and --ca, or hosts.toml', async () => {
      await withStore(async (store) => {
        const authFile = await authFileFor(registry.host);
        const env = { REGISTRY_AUTH_FILE: authFile };
        const args = ['pull', '--platform', platform, '--root', store.root, reference];
        const quiet = await runCommand([...args, '--quiet', '--ca', registry.caFile], { env });
        expect(quiet).toMatchObject({ code: 0, stdout: '', stderr: '' });
        const directory = path.join(scratch, 'hosts', registry.host.replace(/:(\d+)$/, '_$1_'));
        await mkdir(directory, { recursive: true });
        const text = `server = "${registry.url}"\nca = ${JSON.stringify(registry.caFile)}\n`;
        await writeFile(path.join(directory, 'hosts.toml'), text);
        const again = await runCommand(
          [...args, '--name', 'again:1', '--hosts-dir', path.join(scratch, 'hosts')],
          { env },
        );
        expect(again).toMatchObject({ code: 0 });
        const without = await runCommand(args, { env });
        expect(without).toMatchObject({ code: 1 });
        expect(without.stderr).toContain('ERR_TLS');
        expect(without.stderr).toContain('--ca');
      });
    });
  });

  it('reads no authorities for a registry without TLS', async () => {
    await withStore(async (store) => {
      const args = ['pull', '--platform', platform, '--root', store.root, '--no-unpack', '--quiet'];
      const env = { SSL_CERT_FILE: path.join(scratch, 'no such file') };
      const plain = await runCommand([...args, '--plain-http', fixture.reference], { env });
      expect(plain).toEqual({ code: 0, stdout: '', stderr: '' });
      const secure = await runCommand([...args, fixture.reference], { env });
      expect(secure.code).toBe(1);
      expect(secure.stderr).toContain(env.SSL_CERT_FILE);
    });
  });

  it('says so for a certificate of ours that is none', async () => {
    const hosts = path.join(scratch, 'broken');
    const directory = path.join(hosts, fixture.reference.split('/')[0] ?? '');
    await mkdir(directory, { recursive: true });
    await writeFile(path.join(directory, 'me.cert'), 'not PEM');
    await writeFile(path.join(directory, 'me.key'), 'not PEM');
    const options = { plainHttp: false, hostsDirectories: [hosts] };
    await withStore((store) => fails(store, fixture.reference, options, 'ERR_TLS', 'PEM'));
  });

  it('says so when a registry has no TLS', async () => {
    await withStore((store) => fails(store, fixture.reference, { plainHttp: false }, 'ERR_TLS'));
  });

  /** A registry that wants tokens, and hands them out itself at `/token`; `asked` has what it was asked for there. */
  function wantTokens(proxy: FaultProxy, { anonymous = true, uses = 1000 } = {}) {
    const asked: { authorization: string | undefined; scope: string | null; method: string }[] = [];
    let serial = 0;
    let left = 0;
    proxy.decide = ({ url, headers, method }) => {
      const { pathname, searchParams } = new URL(url, proxy.url);
      if (pathname === '/token') {
        const { authorization } = headers;
        asked.push({ authorization, scope: searchParams.get('scope'), method });
        left = uses;
        const allowed = anonymous || authorization === basic || method === 'POST';
        return allowed
          ? { status: 200, body: JSON.stringify({ token: `token-${++serial}`, expires_in: 300 }) }
          : { status: 401 };
      }
      if (headers.authorization !== `Bearer token-${serial}` || left-- <= 0) {
        const realm = `${proxy.url}/token`;
        const challenge = `Bearer realm="${realm}",service="test",scope="repository:test/image:pull"`;
        return { status: 401, headers: { 'www-authenticate': challenge } };
      }
      return undefined;
    };
    return asked;
  }

  it('gets a token, and another when it has run out', async () => {
    await withStore(async (store) => {
      const asked = wantTokens(fixture.proxy);
      const report = await store.pull(fixture.reference, quick);
      await expectSameAsImport(report, fixture.layout);
      const scope = 'repository:test/image:pull';
      expect(asked).toEqual([{ authorization: undefined, scope, method: 'GET' }]);
    });
    await withStore(async (store) => {
      const asked = wantTokens(fixture.proxy, { anonymous: false, uses: 3 });
      await fails(store, fixture.reference, {}, 'ERR_REGISTRY_AUTH');
      asked.length = 0;
      const authFile = await authFileFor(fixture.proxy.host);
      const report = await store.pull(fixture.reference, { ...quick, authFile, downloads: 1 });
      await expectSameAsImport(report, fixture.layout);
      expect(asked.length).toBeGreaterThan(1);
      expect(new Set(asked.map(({ authorization }) => authorization))).toEqual(new Set([basic]));
    });
    await withStore(async (store) => {
      const asked = wantTokens(fixture.proxy, { anonymous: false });
      await store.pull(fixture.reference, { ...quick, credentials: { identityToken: 'i' } });
      expect(asked).toMatchObject([{ method: 'POST', authorization: undefined }]);
    });
  });

  it('gets a token as some registries give it', async () => {
    for (const given of ['{"token":"","access_token":"t"}', '{"token":null,"access_token":"t"}']) {
      const scopes: (string | null)[] = [];
      fixture.proxy.decide = ({ url, headers }) => {
        const { pathname, searchParams } = new URL(url, fixture.proxy.url);
        if (pathname === '/token') {
          scopes.push(searchParams.get('scope'));
          return { status: 200, body: given };
        }
        const challenge = `Bearer realm="${fixture.proxy.url}/token",scope=""`;
        return headers.authorization === 'Bearer t'
          ? undefined
          : { status: 401, headers: { 'www-authenticate': challenge } };
      };
      await withStore((store) => store.pull(fixture.reference, { ...quick, unpack: false }));
      expect(scopes).toEqual(['repository:test/image:pull']);
    }
  });

  it('follows the realm elsewhere, without credentials', async () => {
    const elsewhere = await startFaultProxy();
    elsewhere.decide = () => ({ status: 200, body: '{"token":"t"}' });
    const asked: (string | undefined)[] = [];
    const say = (status: number, headers: Record<string, string>) => ({ status, headers });
    fixture.proxy.decide = ({ url, headers }) => {
      if (url.startsWith('/token')) {
        asked.push(headers.authorization);
        const location = url.startsWith('/token/here')
          ? `${elsewhere.url}/token`
          : url.replace('/token', '/token/here');
        return say(307, { location });
      }
      const challenge = `Bearer realm="${fixture.proxy.url}/token"`;
      return headers.authorization === 'Bearer t'
        ? undefined
        : say(401, { 'www-authenticate': challenge });
    };
    try {
      const authFile = await authFileFor(fixture.proxy.host, elsewhere.host);
      const options = { ...quick, authFile, unpack: false };
      await withStore((store) => store.pull(fixture.reference, options));
      expect(asked).toEqual([basic, basic]);
      expect(elsewhere.seen.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    } finally {
      await elsewhere.stop();
    }
  });

  it('sends no credentials to where it is redirected, nor to a realm without TLS', async () => {
    const elsewhere = await startFaultProxy(fixture.registry.url);
    try {
      for (const bearer of [true, false]) {
        elsewhere.reset();
        const asked = bearer ? wantTokens(fixture.proxy, { anonymous: false }) : [];
        const inner = fixture.proxy.decide;
        fixture.proxy.decide = (seen) => {
          if (bearer) {
            const fault = inner(seen);
            if (fault !== undefined || !seen.isBlob) {
              return fault;
            }
          } else if (seen.headers.authorization !== basic) {
            return { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } };
          }
          return seen.isBlob
            ? { status: 307, headers: { location: `${elsewhere.url}${seen.url}?signed=yes` } }
            : undefined;
        };
        await withStore(async (store) => {
          const authFile = await authFileFor(fixture.proxy.host, elsewhere.host);
          const report = await store.pull(fixture.reference, { ...quick, authFile });
          await expectSameAsImport(report, fixture.layout);
        });
        expect(asked.length).toBe(bearer ? 1 : 0);
        expect(elsewhere.seen.length).toBeGreaterThan(3);
        for (const { headers } of elsewhere.seen) {
          expect(headers.authorization).toBeUndefined();
          expect(headers.cookie).toBeUndefined();
          expect(JSON.stringify(headers)).not.toContain('token-');
        }
        // It may ask, but gets no answer.
        elsewhere.reset();
        elsewhere.decide = () => ({
          status: 401,
          headers: { 'www-authenticate': `Basic realm="y", Bearer realm="${elsewhere.url}/token"` },
        });
        await withStore(async (store) => {
          const authFile = await authFileFor(fixture.proxy.host, elsewhere.host);
          await fails(store, fixture.reference, { authFile }, 'ERR_REGISTRY_AUTH');
        });
        expect(elsewhere.seen.length).toBeGreaterThan(0);
        expect(elsewhere.seen.every(({ headers }) => headers.authorization === undefined)).toBe(
          true,
        );
        expect(elsewhere.seen.some(({ url }) => url.startsWith('/token'))).toBe(false);
      }
    } finally {
      await elsewhere.stop();
    }
  });

  it('sends none to the urls of a descriptor, and goes there only when told to', async () => {
    const elsewhere = await startFaultProxy();
    const blob = tar([file('foreign', 'foreign')]);
    const digest = digestOf(blob);
    const config = JSON.stringify({
      ...{ os: 'linux', architecture: 'amd64' },
      rootfs: { type: 'layers', diff_ids: [digest] },
    });
    const layer = { mediaType: mediaTypes.ociLayer, digest, size: blob.length };
    const { registry, proxy } = fixture;
    await registry.putBlob('test/foreign', digestOf(config), Buffer.from(config));
    await registry.putBlob('test/foreign', digest, blob);
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
      layers: [{ ...layer, urls: [`http://u:p@${elsewhere.host}/blob`] }],
    });
    await registry.putManifest('test/foreign', '1', mediaTypes.ociManifest, manifest);
    elsewhere.decide = () => ({ status: 200, body: blob.toString('latin1') });
    proxy.decide = ({ url, headers }) => {
      if (headers.authorization !== basic) {
        return { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } };
      }
      return url.includes(digest) ? { status: 404 } : undefined;
    };
    try {
      await withStore(async (store) => {
        const authFile = await authFileFor(proxy.host, elsewhere.host);
        const reference = `${proxy.host}/test/foreign:1`;
        await fails(store, reference, { authFile }, 'ERR_BLOB_NOT_FOUND');
        expect(elsewhere.seen).toEqual([]);
        const report = await store.pull(reference, { ...quick, authFile, foreignUrls: true });
        expect(report.layers).toMatchObject([{ digest, status: 'unpacked' }]);
        expect(elsewhere.seen).toHaveLength(1);
        expect(elsewhere.seen[0]?.headers.authorization).toBeUndefined();
      });
    } finally {
      await elsewhere.stop();
    }
  });

  describe('mirrors', () => {
    let mirror: FaultProxy;
    beforeAll(async () => {
      mirror = await startFaultProxy(fixture.registry.url);
    });
    afterAll(() => mirror?.stop());

    async function mirrored(server: string): Promise<string> {
      const root = await mkdtemp(path.join(scratch, 'mirrors-'));
      await mkdir(path.join(root, 'registry.example'));
      const text = `server = "${server}"\n[host."${mirror.url}"]\ncapabilities = ["pull", "resolve"]\n`;
      await writeFile(path.join(root, 'registry.example/hosts.toml'), text);
      return root;
    }

    it('come first, the server when they cannot; each with credentials of its own', async () => {
      const root = await mirrored(fixture.proxy.url);
      const authFile = await authFileFor('registry.example');
      const options = { ...quick, hostsDirectories: [root], authFile };
      const reference = 'registry.example/test/image:latest';
      await withStore(async (store) => {
        const report = await store.pull(reference, options);
        expect(report.name).toBe(reference);
        expect(fixture.proxy.seen).toEqual([]);
        expect(mirror.seen.every(({ url }) => url.endsWith('?ns=registry.example'))).toBe(true);
        await expectSameAsImport(report, fixture.layout);
      });
      for (const fault of [{ status: 404 }, { status: 503 }, { drop: true }, { status: 401 }]) {
        mirror.reset();
        mirror.decide = () => ({ ...fault, headers: { 'www-authenticate': 'Basic realm="m"' } });
        fixture.proxy.reset();
        await withStore(async (store) => {
          const report = await store.pull(reference, options);
          await expectSameAsImport(report, fixture.layout);
        });
        expect(mirror.seen.length).toBeGreaterThan(0);
        expect(mirror.seen.every(({ headers }) => headers.authorization === undefined)).toBe(true);
        expect(fixture.proxy.seen.length).toBeGreaterThan(0);
      }
      mirror.reset();
      mirror.decide = () => ({ status: 429, headers: { 'retry-after': '2' } });
      await withStore((store) => store.pull(reference, { ...options, unpack: false }));
      expect(mirror.seen.every(({ count }) => count === 0)).toBe(true); // nobody waited for it
    });
  });

  describe('a proxy of the environment', () => {
    let proxy: Server;
    let address = '';
    const passed: { url: string; headers: IncomingHttpHeaders }[] = [];
    beforeAll(async () => {
      proxy = createServer((incoming, response) => {
        passed.push({ url: incoming.url ?? '', headers: incoming.headers });
        const { method = 'GET', url = '', headers } = incoming;
        const forward = request(url, { method, headers }, (answer) => {
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(response);
        });
        forward.on('error', () => response.destroy());
        incoming.pipe(forward);
      });
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
      address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    });
    afterAll(() => {
      proxy.closeAllConnections();
      proxy.close();
    });

    it('that opens no tunnel is told from a cancelled call', async () => {
      const shut = createServer().on('connect', (_, socket) =>
        socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'),
      );
      await new Promise<void>((resolve) => shut.listen(0, '127.0.0.1', resolve));
      vi.stubEnv('https_proxy', `127.0.0.1:${(shut.address() as AddressInfo).port}`);
      try {
        const options = { plainHttp: false };
        await withStore((store) =>
          fails(store, fixture.reference, options, 'ERR_REGISTRY_UNREACHABLE', '407'),
        );
      } finally {
        vi.unstubAllEnvs();
        shut.close();
      }
    });

    it('is used, unless $NO_PROXY says otherwise', async () => {
      await withStore(async (store) => {
        const args = ['pull', '--plain-http', '--platform', platform, '--root', store.root];
        const env = { HTTP_PROXY: address, http_proxy: '', NO_PROXY: 'x.example', no_proxy: '' };
        const proxied = await runCommand([...args, fixture.reference], { env });
        expect(proxied).toMatchObject({ code: 0 });
        expect(passed.length).toBeGreaterThan(5);
        expect(passed[0]?.url).toContain(`${fixture.proxy.url}/v2/test/image/manifests/`);
        passed.length = 0;
        for (const exception of ['x.example,127.0.0.1', '127.0.0.0/8']) {
          const direct = { ...env, NO_PROXY: exception };
          const run = await runCommand([...args, fixture.reference], { env: direct });
          expect(run).toMatchObject({ code: 0 });
          expect(passed).toEqual([]);
        }
      });
    });
  });
});
