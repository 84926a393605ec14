import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { inspectImage, Store, unpackImage } from '../../src/index.js';
import { parseContainerdReference } from '../../src/source/containerd-source.js';
import { openImageSource } from '../../src/source/index.js';
import { buildBolt } from '../support/bolt-builder.js';
import { runCommand } from '../support/command.js';
import { noContainerd, withContainerd } from '../support/containerd.js';
import { withScratch } from '../support/scratch.js';

const code = (wanted: string) => expect.objectContaining({ code: wanted });

afterEach(() => {
  delete process.env.CONTAINERD_ROOT;
  delete process.env.CONTAINERD_NAMESPACE;
});

describe('the reference', () => {
  const defaults = { namespace: 'default', root: '/var/lib/containerd' };

  it.each([
    ['containerd:debian:12', { ...defaults, name: 'debian:12' }],
    ['containerd:[k8s.io]a/b@sha256:1', { ...defaults, namespace: 'k8s.io', name: 'a/b@sha256:1' }],
    ['containerd:[@/r:1@2]x', { ...defaults, root: '/r:1@2', name: 'x' }],
    ['containerd:[k8s.io@relative]x', { namespace: 'k8s.io', root: 'relative', name: 'x' }],
    ['containerd:[]x', { ...defaults, name: 'x' }],
  ])('%s is understood', (text, wanted) => {
    expect(parseContainerdReference(text, {})).toEqual(wanted);
  });

  it('leaves to the environment what it does not say', () => {
    const environment = { CONTAINERD_ROOT: '/other', CONTAINERD_NAMESPACE: 'ns' };
    const parse = (text: string) => parseContainerdReference(text, environment);
    expect(parse('containerd:x')).toEqual({ namespace: 'ns', root: '/other', name: 'x' });
    expect(parse('containerd:[a]x')).toEqual({ namespace: 'a', root: '/other', name: 'x' });
    expect(parse('containerd:[@/b]x')).toEqual({ namespace: 'ns', root: '/b', name: 'x' });
  });

  it.each([
    ['containerd:', 'has no image name'],
    ['containerd:[k8s.io]', 'has no image name'],
    ['containerd:[k8s.io', 'malformed'],
    ['containerd:[a@]x', 'malformed'],
    ['containerd:a\0b', 'NUL'],
  ])('%j is refused', async (text, message) => {
    await expect(openImageSource(text)).rejects.toThrow(code('ERR_INVALID_REFERENCE'));
    await expect(openImageSource(text)).rejects.toThrow(message);
    await expect(openImageSource(text)).rejects.toThrow('containerd:NAME');
  });
});

describe('a root', () => {
  it('that is none is refused, with what says where it is', async () => {
    const work = openImageSource('containerd:[@/nonexistent]x');
    await expect(work).rejects.toThrow(code('ERR_NOT_FOUND'));
    await expect(work).rejects.toThrow('CONTAINERD_ROOT');
  });

  it('with other content is refused', async () => {
    await withScratch(async (root) => {
      const directory = path.join(root, 'io.containerd.metadata.v1.bolt');
      await mkdir(directory);
      const write = (bytes: Buffer | string) => writeFile(path.join(directory, 'meta.db'), bytes);
      const open = () => openImageSource(`containerd:[@${root}]x`);
      await write('text');
      await expect(open()).rejects.toThrow(code('ERR_INVALID_STORE'));
      await write(buildBolt({ v2: {} }));
      await expect(open()).rejects.toThrow(code('ERR_UNKNOWN_STORE_VERSION'));
      await write(buildBolt({ v1: { default: { images: { x: { target: { digest: 'y' } } } } } }));
      await expect(open()).rejects.toThrow('image x: target: "y" is not a digest');
      await write(buildBolt({ v1: {} }));
      await expect(open()).rejects.toThrow('namespace default has no image "x"; it has none');
    });
  });
});

describe.skipIf(noContainerd)(`an image of a real containerd ${noContainerd ?? ''}`, () => {
  it('is inspected, unpacked and imported while containerd runs', async () => {
    await withContainerd(async (daemon) => {
      const layout = await daemon.importImage('default', 'docker.io/library/app');
      const name = 'docker.io/library/app:latest';
      process.env.CONTAINERD_ROOT = daemon.root;
      const truth = await inspectImage(`oci:${layout}`);
      for (const short of [name, 'app', 'app:latest', 'library/app']) {
        const reference = `containerd:${short}`;
        const transport = 'containerd';
        expect(await inspectImage(reference)).toEqual({ ...truth, reference, transport });
      }
      await withScratch(async (scratch) => {
        const [ours, theirs] = ['a', 'b'].map((one) => path.join(scratch, one)) as [string, string];
        const one = await unpackImage(`containerd:${name}`, ours);
        const two = await unpackImage(`oci:${layout}`, theirs);
        expect(one.layers.map(({ counts }) => counts)).toEqual(
          two.layers.map(({ counts }) => counts),
        );
        expect(await readFile(path.join(ours, 'layers/002/fs/lib/b'), 'utf8')).toBe('b');

        const store = await Store.open(path.join(scratch, 'store'));
        try {
          const report = await store.import(`containerd:${name}`);
          expect(report).toMatchObject({ name, manifestDigest: truth.manifestDigest });
          expect((await store.images.list()).map((image) => image.name)).toEqual([name]);
        } finally {
          await store.close();
        }

        const env = { CONTAINERD_ROOT: '', CONTAINERD_NAMESPACE: 'other' };
        const reference = `containerd:[default@${daemon.root}]app`;
        const inspected = await runCommand(['inspect', '--quiet', reference], { env });
        expect(inspected).toEqual({ code: 0, stdout: `${truth.manifestDigest}\n`, stderr: '' });
        const root = ['--root', path.join(scratch, 'store')];
        const imported = await runCommand(['import', ...root, reference, '--name', 'x'], { env });
        expect(imported).toMatchObject({ code: 0, stderr: '' });
        const unpacked = await runCommand(['unpack', reference, path.join(scratch, 'c')], { env });
        expect(unpacked).toMatchObject({ code: 0, stderr: '' });
        const missing = await runCommand(['inspect', `containerd:[@${daemon.root}]app`], { env });
        expect(missing.code).toBe(1);
        expect(missing.stderr).toContain('namespace other has no image "app"; it has none');
        expect(missing.stderr).toContain(`another namespace has it: containerd:[default]${name}`);
      });
      await expect(inspectImage('containerd:nothing')).rejects.toThrow(
        `namespace default has no image "nothing"; it has ${name}`,
      );

      const layer = truth.layers[0]?.digest.replace(':', '/') ?? '';
      const blob = path.join(daemon.root, 'io.containerd.content.v1.content/blobs', layer);
      await rename(blob, `${blob}.away`);
      await withScratch(async (scratch) => {
        const work = unpackImage(`containerd:${name}`, path.join(scratch, 'd'));
        await expect(work).rejects.toThrow(code('ERR_BLOB_NOT_FOUND'));
        const bytes = await readFile(`${blob}.away`);
        bytes.writeUInt32LE(1, 4); // The time in the gzip header: still valid, but another blob.
        await writeFile(blob, bytes);
        const changed = unpackImage(`containerd:${name}`, path.join(scratch, 'e'));
        await expect(changed).rejects.toThrow(code('ERR_DIGEST_MISMATCH'));
      });
    });
  });
});
