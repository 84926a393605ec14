// Pulling from a real registry: the same as importing, what is there is not fetched, what is shared is fetched once, what
// was cancelled goes on.

import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type PullProgress, Store } from '../../src/index.js';
import { digestOf, mediaTypes } from '../../src/oci/index.js';
import { startCommand } from '../support/command.js';
import { writeLayout } from '../support/layout-builder.js';
import {
  expectSameAsImport,
  expectWhole,
  layers,
  noise,
  quick,
  usePullFixture,
} from '../support/pull.js';
import { registryAbsence } from '../support/registry.js';
import { withStore } from '../support/store.js';
import { file, tar } from '../support/tar-builder.js';
import { platform, writeImage } from '../support/write-image.js';

/** On an idle machine 200 and less; what would wait for the network takes until its time limit, many seconds. */
const atOnceMilliseconds = 1500;
/** What is late because the host is slow is tried again; what waits for something is late each time. */
const tried = { retry: 2 };

const cannot = process.geteuid?.() !== 0 ? 'not root' : registryAbsence;

describe.skipIf(cannot !== undefined)(`pull${cannot ? ` (skipped: ${cannot})` : ''}`, () => {
  const fixture = usePullFixture();

  it.each([
    ['one after the other', { downloads: 1, concurrency: 1 }],
    ['all at once', {}],
    ['in ranges', { parallelRanges: 4 }],
  ])('gives the same snapshots as an import, %s', async (_, options) => {
    await withStore(async (store) => {
      const report = await store.pull(fixture.reference, { ...quick, ...options });
      expect(report.name).toBe(fixture.reference);
      expect(report.layers.map(({ status }) => status)).toEqual(layers.map(() => 'unpacked'));
      expect(report.blobs).toMatchObject({ written: 6, present: 0 });
      await expectSameAsImport(report, fixture.layout);
      await expectWhole(store);
      expect((await store.gc()).content).toEqual([]);
      expect(store.images.get('test/image').target.digest).toBe(report.targetDigest);
      const size = report.layers.reduce((sum, layer) => sum + layer.size, 0);
      expect(report.network).toEqual({ bytes: size, resumed: 0 });
      expect(await store.content.ingests()).toEqual([]);
      const ranges = fixture.proxy.seen.filter(({ headers }) => headers.range !== undefined);
      expect(ranges).toHaveLength('parallelRanges' in options ? 3 : 0);
    });
  });

  it('asks one HEAD for an image that is there', async () => {
    await withStore(async (store) => {
      fixture.proxy.reset();
      const first = await store.pull(fixture.reference, quick);
      // Of a name that is new the manifest is wanted in any case.
      expect(fixture.proxy.summary().filter((one) => one.endsWith('manifests'))).toEqual([
        'GET manifests',
      ]);
      fixture.proxy.reset();
      const second = await store.pull(fixture.reference, quick);
      expect(fixture.proxy.summary()).toEqual(['HEAD manifests']);
      expect(second.layers.map(({ status }) => status)).toEqual(layers.map(() => 'present'));
      expect(second).toMatchObject({ snapshot: first.snapshot, blobs: { written: 0, present: 6 } });
      fixture.proxy.reset();
      const name = `${fixture.proxy.host}/test/image@${first.targetDigest}`;
      expect((await store.pull(name, quick)).name).toBe(name);
      expect(fixture.proxy.summary()).toEqual(['HEAD manifests']);
    });
  });

  it.each([405, 501])(
    'gets the manifest from a registry that answers HEAD with %i',
    async (status) => {
      await withStore(async (store) => {
        const first = await store.pull(fixture.reference, quick);
        fixture.proxy.reset();
        fixture.proxy.decide = ({ method }) => (method === 'HEAD' ? { status } : undefined);
        const second = await store.pull(fixture.reference, quick);
        expect(fixture.proxy.summary()).toEqual(['HEAD manifests', 'GET manifests']);
        expect(second).toMatchObject({
          snapshot: first.snapshot,
          blobs: { written: 0, present: 6 },
        });
      });
    },
  );

  it.each(['0', '99'])('gets the manifest where HEAD tells a length of %s', async (length) => {
    await withStore(async (store) => {
      const first = await store.pull(fixture.reference, quick);
      fixture.proxy.reset();
      fixture.proxy.decide = ({ method }) =>
        method === 'HEAD' ? { replace: { 'content-length': length } } : undefined;
      const second = await store.pull(fixture.reference, quick);
      expect(fixture.proxy.summary()).toEqual(['HEAD manifests', 'GET manifests']);
      expect(second).toMatchObject({ snapshot: first.snapshot, blobs: { written: 0, present: 6 } });
    });
  });

  it('takes nothing for a digest that has another one, whatever the registry says', async () => {
    await withStore(async (store) => {
      const { targetDigest } = await store.pull(fixture.reference, quick);
      const body = await readFile(await store.content.path(targetDigest), 'utf8');
      const wanted = digestOf('another manifest', 'sha512');
      const headers = {
        'docker-content-digest': targetDigest,
        'content-type': mediaTypes.ociManifest,
        'content-length': String(body.length),
      };
      fixture.proxy.decide = ({ method }) => ({
        ...{ status: 200, headers },
        ...(method === 'GET' && { body }),
      });
      const name = `${fixture.proxy.host}/test/image@${wanted}`;
      await expect(store.pull(name, quick)).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' });
      expect(store.images.list()).toHaveLength(1);
    });
  });

  it('of Docker schema 2, of an index, by digest and by tag', async () => {
    const { scratch, registry } = fixture;
    const directory = path.join(scratch, 'docker');
    const blobs = [tar([file('a', 'a')]), tar([file('b', 'b')])];
    await writeLayout(directory, {
      images: [
        { platform: 'linux/amd64', layers: blobs, kind: 'docker' },
        { platform: 'linux/arm64', layers: blobs.slice(1), kind: 'docker' },
      ],
      nesting: 1,
    });
    await registry.push(directory, 'test/docker:1');
    await withStore(async (store) => {
      const name = `${fixture.proxy.host}/test/docker:1`;
      const arm = await store.pull(name, { ...quick, platform: 'linux/arm64' });
      expect(arm).toMatchObject({ platform: 'linux/arm64', layers: [{}] });
      const amd = await store.pull(name, { ...quick, platform: 'linux/amd64' });
      expect(amd).toMatchObject({ platform: 'linux/amd64', layers: [{}, {}] });
      expect(amd.targetDigest).not.toBe(amd.manifestDigest);
      await expect(store.pull(name, { ...quick, platform: 'linux/s390x' })).rejects.toMatchObject({
        code: 'ERR_PLATFORM_NOT_FOUND',
      });
    });
  });

  it('keeps of indexes what it needs to choose again, and asks for no more than that', async () => {
    const { registry, proxy } = fixture;
    const put = async (document: object, mediaType: string, tag?: string) => {
      const text = JSON.stringify({ schemaVersion: 2, mediaType, ...document });
      const digest = digestOf(text);
      await registry.putManifest('test/nested', tag ?? digest, mediaType, text);
      return { mediaType, digest, size: text.length };
    };
    const image = async (architecture: string) => {
      const rootfs = { type: 'layers', diff_ids: [] };
      const bytes = Buffer.from(JSON.stringify({ os: 'linux', architecture, rootfs }));
      const digest = digestOf(bytes);
      await registry.putBlob('test/nested', digest, bytes);
      const config = { mediaType: mediaTypes.ociConfig, digest, size: bytes.length };
      return put({ config, layers: [] }, mediaTypes.ociManifest);
    };
    const index = (manifests: object[], tag?: string) =>
      put({ manifests }, mediaTypes.ociIndex, tag);
    const of = (architecture: string) => ({ platform: { os: 'linux', architecture } });
    const other = { ...(await image('arm64')), ...of('arm64') };
    const unwanted = { ...(await index([other, other])), ...of('arm64') };
    const inner = await index([await image('amd64'), await image('s390x')]);
    const many = Array.from({ length: 30 }, (_, at) => ({ ...inner, annotations: { a: `${at}` } }));
    let wide = await index(many);
    for (let depth = 0; depth < 4; depth++) {
      wide = await index(Array.from(many, ({ annotations }) => ({ ...wide, annotations })));
    }
    await index([await index([other]), unwanted, wide], '1');
    const name = `${proxy.host}/test/nested:1`;
    await withStore(async (store) => {
      await store.pull(name, quick);
      expect(proxy.seen.some(({ url }) => url.endsWith(unwanted.digest))).toBe(false);
      proxy.reset();
      await store.pull(name, quick);
      expect(proxy.summary()).toEqual(['HEAD manifests']);
      expect((await store.gc()).content).toEqual([]);
      expect(await store.images.inspect(name)).toMatchObject({ platform: 'linux/amd64' });
    });
  });

  it('only stores with unpack: false, and unpacks that later without the registry', async () => {
    await withStore(async (store) => {
      const seen: PullProgress[] = [];
      const report = await store.pull(fixture.reference, {
        ...quick,
        unpack: false,
        onProgress: (progress) => seen.push(progress),
      });
      expect(report).toMatchObject({ layers: [], snapshot: '', blobs: { written: 6 } });
      expect(seen.at(-1)).toMatchObject({ layers: layers.map(() => ({ phase: 'done' })) });
      fixture.proxy.reset();
      expect((await store.unpack('test/image')).layers).toHaveLength(layers.length);
      expect(fixture.proxy.seen).toEqual([]);
    });
  });

  it('drops blobs with keepBlobs: false, but none that somebody else holds', async () => {
    await withStore(async (store) => {
      const report = await store.pull(fixture.reference, { ...quick, keepBlobs: false });
      expect(report.blobsDropped).toBe(layers.length);
      expect(store.content.list()).toHaveLength(2);
      await store.snapshots.walk(({ durability }) => expect(durability).toBe('durable'));
      expect((await store.gc()).snapshots).toEqual([]);
      fixture.proxy.reset();
      const again = await store.pull(fixture.reference, { ...quick, keepBlobs: false });
      expect(again.layers.map(({ status }) => status)).toEqual(layers.map(() => 'present'));
      expect(fixture.proxy.summary()).toEqual(['HEAD manifests']);
      expect(store.images.get(report.name).labels).toMatchObject({
        'oci-unpack.io/blobs-dropped': 'true',
      });
    });
    await withStore(async (store) => {
      await store.import(fixture.layout, { platform });
      const report = await store.pull(fixture.reference, { ...quick, keepBlobs: false });
      expect(report.blobsDropped).toBe(0);
    });
  });

  it('downloads once what several calls and several images need', async () => {
    const top = [...layers.slice(0, 2), [file('other', noise(9, 100_000))]];
    const layout = await writeImage(path.join(fixture.scratch, 'other'), top);
    await fixture.registry.push(layout, 'test/other:latest');
    await withStore(async (store) => {
      fixture.proxy.decide = ({ isBlob }) => (isBlob ? { rate: 20e6 } : undefined);
      const other = await Store.open(store.root);
      try {
        const names = ['image', 'image', 'other'];
        const reports = await Promise.all(
          names.map((name, index) =>
            (index === 1 ? other : store).pull(`${fixture.proxy.host}/test/${name}`, quick),
          ),
        );
        await expectSameAsImport(reports[0] as never, fixture.layout);
        await expectSameAsImport(reports[2] as never, layout);
        const blobs = fixture.proxy.seen.filter(({ isBlob }) => isBlob).map(({ url }) => url);
        const distinct = new Set(
          reports.flatMap((report) => report.layers.map(({ digest }) => digest)),
        );
        const fetched = blobs.filter((url) => distinct.has(url.split('/').at(-1) ?? ''));
        expect(fetched).toHaveLength(distinct.size);
        await expectWhole(store);
      } finally {
        await other.close();
      }
    });
  });

  it('the same blob twice in an image', async () => {
    const same = [file('same', noise(4, 200_000))];
    const layout = await writeImage(
      path.join(fixture.scratch, 'twice'),
      [same, same, same],
      ['gzip'],
    );
    await fixture.registry.push(layout, 'test/twice:latest');
    await withStore(async (store) => {
      const report = await store.pull(`${fixture.proxy.host}/test/twice`, quick);
      expect(report.layers.map(({ status }) => status)).toEqual(Array(3).fill('unpacked'));
      await expectSameAsImport(report, layout);
    });
  });

  it('stops at once and goes on later, in another process too', tried, async () => {
    await withStore(async (store) => {
      fixture.proxy.decide = ({ isBlob }) => (isBlob ? { rate: 4e6 } : undefined);
      const controller = new AbortController();
      const pull = store.pull(fixture.reference, { ...quick, signal: controller.signal });
      await waitFor(async () => (await offsets(store)) > 600_000);
      const started = performance.now();
      controller.abort();
      await expect(pull).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      expect(performance.now() - started).toBeLessThan(atOnceMilliseconds);
      await expectWhole(store);
      const ingests = await store.content.ingests();
      expect(ingests.length).toBeGreaterThan(0);
      const before = ingests.reduce((sum, { offset }) => sum + offset, 0);
      expect(before).toBeGreaterThan(500_000);
      const stored = store.content.list().reduce((sum, blob) => sum + blob.size, 0);
      await store.close();
      fixture.proxy.reset();
      const { result } = startCommand([
        ...['pull', '--plain-http', '--platform', platform, '--root', store.root, '--json'],
        fixture.reference,
      ]);
      const { code, stdout } = await result;
      expect(code).toBe(0);
      const events = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      const done = events.at(-1);
      expect(done).toMatchObject({ event: 'done', name: fixture.reference });
      expect(events.filter(({ event }) => event === 'layer').length).toBeGreaterThan(layers.length);
      const size = done.layers.reduce(
        (sum: number, layer: { size: number }) => sum + layer.size,
        0,
      );
      // Of what had come nothing came again.
      expect(done.network.bytes).toBe(size - before - stored);
      await expectSameAsImport(done, fixture.layout);
    });
  });

  it('Ctrl-C stops the command at once', tried, async () => {
    await withStore(async (store) => {
      fixture.proxy.decide = ({ isBlob }) => (isBlob ? { rate: 2e6 } : undefined);
      const { process: child, result } = startCommand([
        ...['pull', '--plain-http', '--platform', platform, '--root', store.root],
        fixture.reference,
      ]);
      await waitFor(async () => (await offsets(store)) > 300_000);
      const started = performance.now();
      child.kill('SIGINT');
      const { code, stderr } = await result;
      expect(performance.now() - started).toBeLessThan(atOnceMilliseconds);
      expect(code).toBe(130);
      expect(stderr).toContain('ERR_ABORTED');
      expect(await offsets(store)).toBeGreaterThan(300_000);
    });
  });

  it('two processes share downloads; when one is killed, the other goes on where it stopped', async () => {
    await withStore(async (store) => {
      const args = ['pull', '--plain-http', '--platform', platform, '--root', store.root];
      const start = () => startCommand([...args, fixture.reference, '--json']);
      fixture.proxy.decide = ({ isBlob }) => (isBlob ? { rate: 3e6 } : undefined);
      const killed = start();
      await waitFor(async () => (await offsets(store)) > 300_000);
      const other = start();
      await sleep(500);
      killed.process.kill('SIGKILL');
      await killed.result;
      const came = fixture.proxy.blobBytes;
      const { code, stdout } = await other.result;
      expect(code).toBe(0);
      const done = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
      await expectSameAsImport(done, fixture.layout);
      // What was on its way to the killed one may come twice.
      expect(done.network.bytes).toBeLessThan(sizeOf(done) - came + 4 * 2 ** 20);
      expect(fixture.proxy.blobBytes).toBeLessThan(sizeOf(done) * 1.5);
    });
  });

  it('begins again what a power loss has left of an ingest', async () => {
    await withStore(async (store) => {
      const report = await withStore((one) => one.pull(fixture.reference, quick));
      const [layer] = report.layers;
      const { digest = '', size = 0 } = layer ?? {};
      const writer = await store.content.writer(`layer-${digest}`, { digest, size });
      await writer.write(Buffer.alloc(1_000_000));
      await writer.close();
      const again = await store.pull(fixture.reference, quick);
      await expectSameAsImport(again, fixture.layout);
      await expectWhole(store);
    });
  });

  it('names what is wrong with its arguments', async () => {
    await withStore(async (store) => {
      for (const [reference, options, code] of [
        ['host.example/UPPER', {}, 'ERR_INVALID_REFERENCE'],
        ['a', { downloads: 0 }, 'ERR_INVALID_ARGUMENT'],
        ['a', { parallelRanges: 1.5 }, 'ERR_INVALID_ARGUMENT'],
        ['a', { keepBlobs: false, unpack: false }, 'ERR_INVALID_ARGUMENT'],
        ['a', { format: 'flat' }, 'ERR_INVALID_ARGUMENT'],
      ] as const) {
        await expect(store.pull(reference, { ...quick, ...options })).rejects.toMatchObject({
          code,
        });
      }
    });
  });

  it('refuses artifacts, and manifests that say two things', async () => {
    const { registry, proxy } = fixture;
    const empty = Buffer.from('{}');
    await registry.putBlob('test/artifact', digestOf(empty), empty);
    const config = { mediaType: 'application/vnd.x', digest: digestOf(empty), size: 2 };
    await registry.putManifest(
      'test/artifact',
      '1',
      mediaTypes.ociManifest,
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [] }),
    );
    await withStore(async (store) => {
      await expect(store.pull(`${proxy.host}/test/artifact:1`, quick)).rejects.toMatchObject({
        code: 'ERR_UNKNOWN_MEDIA_TYPE',
      });
      proxy.decide = ({ isBlob }) => ({
        ...(!isBlob && { replace: { 'content-type': mediaTypes.ociIndex } }),
      });
      await expect(store.pull(fixture.reference, quick)).rejects.toMatchObject({
        code: 'ERR_INVALID_IMAGE',
      });
      // The digest of a signed one is that of a part of it.
      const type = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
      const headers = { 'content-type': type, 'docker-content-digest': digestOf('its payload') };
      proxy.decide = () => ({ status: 200, headers, body: '{"schemaVersion":1}' });
      await expect(store.pull(fixture.reference, quick)).rejects.toThrow('schema 1');
      expect(await readdir(path.join(store.root, 'blobs')).catch(() => [])).toEqual([]);
    });
  });
});

function sizeOf({ layers: all }: { layers: { size: number }[] }): number {
  return all.reduce((sum, { size }) => sum + size, 0);
}

async function offsets(store: Store): Promise<number> {
  return (await store.content.ingests()).reduce((sum, { offset }) => sum + offset, 0);
}

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) {
    await sleep(10);
  }
}
