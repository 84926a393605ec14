import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { digestOf, mediaTypes } from '../../src/oci/index.js';
import { type ImageSource, openImageSource, resolveImage } from '../../src/source/index.js';
import { type DockerArchiveOptions, dockerArchive } from '../support/docker-archive-builder.js';
import { zstdStored } from '../support/layout-builder.js';
import { withScratch } from '../support/scratch.js';
import { type TarItem, tar } from '../support/tar-builder.js';

const layer = tar([{ type: 'file', path: 'a', content: 'a' }]);
const other = tar([{ type: 'file', path: 'b', content: 'b' }]);
const code = (wanted: string) => expect.objectContaining({ code: wanted });

async function withArchive(
  options: DockerArchiveOptions | Buffer,
  work: (open: (suffix?: string) => Promise<ImageSource>, file: string) => Promise<void>,
): Promise<void> {
  await withScratch(async (scratch) => {
    const file = path.join(scratch, 'image.tar');
    await writeFile(file, Buffer.isBuffer(options) ? options : dockerArchive(options));
    const opened: ImageSource[] = [];
    const open = async (suffix = '') => {
      const source = await openImageSource(`docker-archive:${file}${suffix}`);
      opened.push(source);
      return source;
    };
    try {
      await work(open, file);
    } finally {
      await Promise.all(opened.map((source) => source.close()));
    }
  });
}

const without = (name: RegExp) => (items: TarItem[]) =>
  items.filter((item) => !('path' in item && name.test(String(item.path))));

describe('an archive', () => {
  it.each(['legacy', 'blobs'] as const)('of the %s form resolves to everything', async (form) => {
    await withArchive(
      { images: [{ tags: ['a:1'], layers: [layer, other] }], form },
      async (open) => {
        const source = await open();
        const image = await resolveImage(source);
        expect(image.platform).toBe('linux/amd64');
        expect(image.manifest.mediaType).toBe(mediaTypes.dockerManifest);
        expect(image.layers.map(({ diffID }) => diffID)).toEqual([
          digestOf(layer),
          digestOf(other),
        ]);
        for (const [index, bytes] of [layer, other].entries()) {
          const { descriptor } = image.layers[index]!;
          // An uncompressed layer's digest is its diffID.
          expect(descriptor).toEqual({
            mediaType: mediaTypes.dockerLayer,
            digest: digestOf(bytes),
            size: bytes.length,
          });
          const { path: file, offset, length } = await source.locateBlob(descriptor);
          expect((await readFile(file)).subarray(offset, offset + length)).toEqual(bytes);
        }
        const root = await source.resolve();
        expect(root.digest).toBe(image.manifestDigest);
        expect(digestOf(await source.readBlob(root))).toBe(root.digest);
      },
    );
  });

  it('has the same manifest digest each time', async () => {
    await withArchive({ images: [{ layers: [layer] }] }, async (open) => {
      const [one, two] = [await open(), await open(':@0')];
      expect((await one.resolve()).digest).toBe((await two.resolve()).digest);
    });
  });

  it.each([
    ['gzip', gzipSync(layer), mediaTypes.dockerLayerGzip],
    ['zstd', zstdStored(layer), mediaTypes.dockerLayerZstd],
  ])('with %s layers has their digests computed', async (_, blob, mediaType) => {
    const images = [{ layers: [blob, blob], diffIDs: [digestOf(layer), digestOf(layer)] }];
    await withArchive({ images }, async (open) => {
      const image = await resolveImage(await open());
      const descriptor = { mediaType, digest: digestOf(blob), size: blob.length };
      expect(image.manifest.layers).toEqual([descriptor, descriptor]);
    });
  });

  it('with an empty layer has the digest of nothing', async () => {
    const images = [{ layers: [Buffer.alloc(0)], diffIDs: [digestOf('')] }];
    await withArchive({ images }, async (open) => {
      const image = await resolveImage(await open());
      expect(image.manifest.layers[0]).toMatchObject({ digest: digestOf(''), size: 0 });
    });
  });

  it('whose images share layers by symlinks works for both', async () => {
    const images = [
      { tags: ['a:1'], layers: [layer] },
      { tags: ['b:1'], layers: [layer, other] },
    ];
    await withArchive({ images }, async (open) => {
      const source = await open(':b:1');
      const image = await resolveImage(source);
      const { length } = await source.locateBlob(image.layers[0]!.descriptor);
      expect(length).toBe(layer.length);
    });
  });
});

describe('the name', () => {
  const images = [
    { tags: ['alpine:3.20', 'alpine:latest'], layers: [layer] },
    { tags: ['registry.example.com:5000/team/app:v1'], layers: [other] },
    { layers: [layer, other] },
  ];

  it.each([
    [':alpine:3.20', 0],
    [':alpine', 0],
    [':docker.io/library/alpine:latest', 0],
    [':registry.example.com:5000/team/app:v1', 1],
    [':@2', 2],
  ])('%s is image %i', async (suffix, at) => {
    await withArchive({ images }, async (open) => {
      const image = await resolveImage(await open(suffix));
      expect(image.layers.map(({ diffID }) => diffID)).toEqual(
        images[at]!.layers.map((blob) => digestOf(blob)),
      );
    });
  });

  it('is asked for, or answered with what there is', async () => {
    const list = ':alpine:3.20, :alpine:latest, :registry.example.com:5000/team/app:v1, :@2';
    await withArchive({ images }, async (open) => {
      const all = await open();
      await expect(all.resolve()).rejects.toThrow(code('ERR_AMBIGUOUS_REFERENCE'));
      await expect(all.resolve()).rejects.toThrow(list);
      const missing = await open(':debian');
      await expect(missing.resolve()).rejects.toThrow(code('ERR_IMAGE_NOT_FOUND'));
      await expect(missing.resolve()).rejects.toThrow(`has no image "debian"; it has ${list}`);
      await expect((await open(':@3')).resolve()).rejects.toThrow(code('ERR_IMAGE_NOT_FOUND'));
      await expect(open(':Alpine')).rejects.toThrow(code('ERR_INVALID_REFERENCE'));
      await expect(open(`:alpine@${digestOf('')}`)).rejects.toThrow(
        'a docker archive knows no digests',
      );
    });
  });
});

const configName = /^[0-9a-f]{64}\.json$/;

describe('what is refused', () => {
  const one = { layers: [layer, other] };

  it.each<[string, DockerArchiveOptions, string, string]>([
    [
      'no manifest.json',
      { images: [one], members: without(/^manifest\.json$/) },
      'ERR_INVALID_IMAGE',
      'manifest.json is missing',
    ],
    ['no images', { images: [] }, 'ERR_IMAGE_NOT_FOUND', 'holds no image'],
    [
      'no config',
      { images: [one], members: without(configName) },
      'ERR_BLOB_NOT_FOUND',
      'the config',
    ],
    [
      'a missing layer',
      { images: [one], members: without(/^image0-1\//) },
      'ERR_BLOB_NOT_FOUND',
      'the layer image0-1/layer.tar',
    ],
    [
      'fewer layers',
      { images: [{ ...one, entry: (it) => ({ ...it, Layers: ['image0-0/layer.tar'] }) }] },
      'ERR_LAYER_COUNT',
      'manifest.json has 1 layers',
    ],
    [
      'layers without names',
      { images: [{ ...one, entry: (it) => ({ ...it, Layers: [1] }) }] },
      'ERR_INVALID_IMAGE',
      'manifest.json: [0].Layers[0]: is not a string',
    ],
    [
      'a config that leaves the archive',
      { images: [{ ...one, entry: (it) => ({ ...it, Config: '../../etc/passwd' }) }] },
      'ERR_BLOB_NOT_FOUND',
      '../../etc/passwd',
    ],
    [
      'a config that is a layer',
      { images: [{ ...one, entry: (it) => ({ ...it, Config: 'image0-0/layer.tar' }) }] },
      'ERR_INVALID_IMAGE',
      'not valid JSON',
    ],
    [
      'no Config',
      { images: [{ ...one, entry: () => ({}) }] },
      'ERR_INVALID_IMAGE',
      '[0].Config: is missing',
    ],
    [
      'an entry that is null',
      { images: [{ ...one, entry: () => 'null' }] },
      'ERR_INVALID_IMAGE',
      '[0]: is not an object',
    ],
    [
      'a config of other content than its name says',
      {
        images: [one],
        members: (items) =>
          items.map((item) =>
            'path' in item && configName.test(String(item.path))
              ? { ...item, content: '{"rootfs":{"type":"layers"}}' }
              : item,
          ),
      },
      'ERR_DIGEST_MISMATCH',
      'the config has other content',
    ],
  ])('%s', async (_, options, wanted, message) => {
    await withArchive(options, async (open) => {
      const source = await open();
      await expect(resolveImage(source)).rejects.toThrow(code(wanted));
      await expect(resolveImage(source)).rejects.toThrow(message);
    });
  });

  it('a manifest.json that is an object', async () => {
    const bytes = tar([{ type: 'file', path: 'manifest.json', content: '{}' }]);
    await withArchive(bytes, async (open) => {
      await expect((await open()).resolve()).rejects.toThrow(code('ERR_INVALID_IMAGE'));
    });
  });

  it('an archive that is cut off', async () => {
    const whole = dockerArchive({ images: [one] });
    await withArchive(whole.subarray(0, 3000), async (open) => {
      await expect(open()).rejects.toThrow(code('ERR_TRUNCATED'));
    });
  });

  it('an OCI layout, with a hint', async () => {
    const bytes = tar([{ type: 'file', path: 'oci-layout', content: '{}' }]);
    await withArchive(bytes, async (open) => {
      await expect((await open()).resolve()).rejects.toThrow('use oci-archive:');
    });
  });
});
