// Mirrors of hosts.toml that answer with something else than what they were asked for: the next host is asked, and what had
// come is thrown away.

import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PullOptions, UnpackError } from '../../src/index.js';
import { type Fault, type FaultProxy, startFaultProxy } from '../support/fault-proxy.js';
import {
  expectSameAsImport,
  expectWhole,
  fileBytes,
  quick,
  usePullFixture,
} from '../support/pull.js';
import { registryAbsence } from '../support/registry.js';
import { withStore } from '../support/store.js';

const cannot = process.geteuid?.() !== 0 ? 'not root' : registryAbsence;
const reference = 'registry.example/test/image:latest';

const page: Fault = {
  status: 200,
  headers: { 'content-type': 'text/html; charset=utf-8' },
  body: '<!DOCTYPE html><title>Log in</title>',
};

type Row = [name: string, decide: FaultProxy['decide'], options: PullOptions];

const table: Row[] = [
  ['the first byte of blobs', ({ isBlob }) => (isBlob ? { flip: 0 } : undefined), {}],
  ['the end of big layers', ({ isBlob }) => (isBlob ? { flip: fileBytes } : undefined), {}],
  [
    'blobs that come in ranges',
    ({ isBlob }) => (isBlob ? { flip: 5 } : undefined),
    { parallelRanges: 4 },
  ],
  [
    'blobs that are not unpacked',
    ({ isBlob }) => (isBlob ? { flip: 5 } : undefined),
    { unpack: false },
  ],
  ['the length of blobs', ({ isBlob }) => (isBlob ? { lengthen: 7 } : undefined), {}],
  ['manifests', ({ isBlob }) => (isBlob ? undefined : { flip: 20 }), {}],
  [
    'Docker-Content-Digest',
    () => ({ replace: { 'docker-content-digest': `sha256:${'0'.repeat(64)}` } }),
    {},
  ],
  ['a page for manifests', ({ url }) => (url.includes('/manifests/') ? page : undefined), {}],
];

describe.skipIf(cannot !== undefined)(`mirrors${cannot ? ` (skipped: ${cannot})` : ''}`, () => {
  const fixture = usePullFixture();
  let mirror: FaultProxy;
  let options: PullOptions;
  beforeAll(async () => {
    mirror = await startFaultProxy(fixture.registry.url);
    const root = await mkdtemp(path.join(fixture.scratch, 'hosts-'));
    await mkdir(path.join(root, 'registry.example'));
    const text = `server = "${fixture.proxy.url}"\n[host."${mirror.url}"]\ncapabilities = ["pull", "resolve"]\n`;
    await writeFile(path.join(root, 'registry.example/hosts.toml'), text);
    options = { ...quick, hostsDirectories: [root] };
  });
  beforeEach(() => mirror.reset());
  afterAll(() => mirror?.stop());

  it.each(table)('wrong: %s', async (_, decide, more) => {
    mirror.decide = decide;
    await withStore(async (store) => {
      const report = await store.pull(reference, { ...options, ...more });
      expect(report.wrongHosts).toEqual([mirror.host]);
      expect(fixture.proxy.seen.length).toBeGreaterThan(0);
      await expectWhole(store);
      if (more.unpack === undefined) {
        await expectSameAsImport(report, fixture.layout, { files: false });
      }
    });
  });

  it.each(['blobs', 'manifests'])(
    '%s that nobody else has: what was wrong is told',
    async (what) => {
      mirror.decide = ({ url }) => (url.includes(`/${what}/`) ? { flip: 20 } : undefined);
      fixture.proxy.decide = () => ({ status: 404 });
      await withStore(async (store) => {
        const error: UnpackError = await store.pull(reference, options).catch((caught) => caught);
        expect(error.code).toMatch(/^ERR_(DIGEST_MISMATCH|INVALID_)/);
        expect(fixture.proxy.seen.length).toBeGreaterThan(0);
        await expectWhole(store);
      });
    },
  );

  it('HEAD tells of a manifest that nobody has: the tag itself is asked for', async () => {
    const digest = `sha256:${'1'.repeat(64)}`;
    const replace = { 'docker-content-digest': digest };
    mirror.decide = ({ method }) => (method === 'HEAD' ? { replace } : undefined);
    await withStore(async (store) => {
      const first = await store.pull(reference, { ...options, unpack: false });
      mirror.seen = [];
      const again = await store.pull(reference, { ...options, unpack: false });
      expect(mirror.summary()).toContain('HEAD manifests');
      expect(again.manifestDigest).toBe(first.manifestDigest);
    });
  });

  it('pages for manifests of all hosts: said what came', async () => {
    mirror.decide = () => page;
    fixture.proxy.decide = () => page;
    await withStore(async (store) => {
      await expect(store.pull(reference, options)).rejects.toMatchObject({
        code: 'ERR_REGISTRY',
        message: expect.stringMatching(/: manifest latest: .* \(text\/html; charset=utf-8\); look/),
      });
      expect(fixture.proxy.seen.length).toBeGreaterThan(0);
    });
  });

  it('bytes of two hosts that do not fit together: of one alone', async () => {
    // The mirror breaks off for good after its wrong beginning, and the server goes on.
    mirror.decide = ({ isBlob, count }) => {
      if (!isBlob) {
        return undefined;
      }
      return count === 0 ? { flip: 5, cutAfter: 90 } : { status: 404 };
    };
    await withStore(async (store) => {
      await expectSameAsImport(await store.pull(reference, options), fixture.layout);
      await expectWhole(store);
    });
  });
});
