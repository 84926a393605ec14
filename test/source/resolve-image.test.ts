import { describe, expect, it } from 'vitest';
import { chainIDs, digestOf, mediaTypes } from '../../src/oci/index.js';
import { openImageSource, type ResolvedImage, resolveImage } from '../../src/source/index.js';
import {
  type LayoutImage,
  type LayoutOptions,
  putBlob,
  putJson,
  type WrittenLayout,
  writeLayout,
} from '../support/layout-builder.js';
import { withScratch } from '../support/scratch.js';
import { tar } from '../support/tar-builder.js';

const layers = ['a', 'b', 'c'].map((name) => tar([{ type: 'file', path: name, content: name }]));
const [first = Buffer.alloc(0)] = layers;

async function resolve(
  options: LayoutOptions,
  platform?: string,
  prepare?: (directory: string) => Promise<void>,
): Promise<{ image: ResolvedImage; layout: WrittenLayout }> {
  return withScratch(async (directory) => {
    await prepare?.(directory);
    const layout = await writeLayout(directory, options);
    const source = await openImageSource(`oci:${directory}`);
    try {
      return { image: await resolveImage(source, { ...(platform && { platform }) }), layout };
    } finally {
      await source.close();
    }
  });
}

const one = (image: LayoutImage): LayoutOptions => ({ images: [{ layers, ...image }] });
const code = (wanted: string) => expect.objectContaining({ code: wanted });

async function expectError(work: Promise<unknown>, wanted: string, ...messages: string[]) {
  await expect(work).rejects.toThrow(code(wanted));
  for (const message of messages) {
    await expect(work).rejects.toThrow(message);
  }
}

describe('an image', () => {
  it.each([
    ['oci', 'gzip'],
    ['oci', 'zstd'],
    ['oci', 'none'],
    ['docker', 'gzip'],
    ['docker', 'none'],
  ] as const)('of %s with %s layers resolves to everything', async (kind, compression) => {
    const { image, layout } = await resolve(one({ tag: 'latest', kind, compression }));
    const written = layout.images[0]!;
    expect(image.manifestDigest).toBe(written.descriptor.digest);
    expect(image.manifest).toMatchObject(written.manifest);
    expect(image.configDigest).toBe(digestOf(JSON.stringify(written.config)));
    expect(image.config).toEqual(written.config);
    expect(image.platform).toBe('linux/amd64');
    expect(image.layers.map(({ descriptor }) => descriptor)).toEqual(written.layers);
    expect(image.layers.map(({ diffID }) => diffID)).toEqual(written.diffIDs);
    expect(image.layers.map(({ chainID }) => chainID)).toEqual(chainIDs(written.diffIDs));
    expect(image.reference).toMatch(/^oci:/);
  });

  it('without layers has none', async () => {
    const { image } = await resolve(one({ layers: [] }));
    expect(image.layers).toEqual([]);
  });

  it('for another platform is taken when nothing else was asked for', async () => {
    const { image } = await resolve(one({ platform: 'linux/s390x' }));
    expect(image.platform).toBe('linux/s390x');
    await expectError(
      resolve(one({ platform: 'linux/s390x' }), 'linux/amd64'),
      'ERR_PLATFORM_NOT_FOUND',
      'is an image for linux/s390x only, not for linux/amd64',
    );
    expect((await resolve(one({ platform: 'linux/arm/v6' }), 'linux/arm/v7')).image.platform).toBe(
      'linux/arm/v6',
    );
  });

  it('without a platform in its config has the one of the index', async () => {
    const config = (it: object) => ({ ...it, os: undefined, architecture: undefined });
    expect((await resolve(one({ config }))).image.platform).toBe('linux/amd64');
    expect((await resolve(one({ config, listPlatform: false }))).image.platform).toBe('unknown');
  });
});

describe('what is refused', () => {
  it('a number of layers other than of diff_ids', async () => {
    const rootfs = { type: 'layers', diff_ids: [digestOf(first)] };
    await expectError(
      resolve(one({ config: (it) => ({ ...it, rootfs }) })),
      'ERR_LAYER_COUNT',
      'has 3 layers',
      'has 1 diff_ids',
    );
  });

  it('layers of unknown types, by digest and type', async () => {
    for (const mediaType of [
      'application/vnd.oci.image.layer.v1.tar+xz',
      'text/plain',
      'application/vnd.oci.image.config.v1+json',
    ]) {
      const work = resolve(
        one({ layer: (it, index) => (index === 1 ? { ...it, mediaType } : it) }),
      );
      await expectError(work, 'ERR_UNKNOWN_MEDIA_TYPE', 'layers[1]', 'layer sha256:', mediaType);
    }
    const encrypted = { mediaType: `${mediaTypes.ociLayerGzip}+encrypted` };
    await expectError(
      resolve(one({ layer: (it) => ({ ...it, ...encrypted }) })),
      'ERR_UNKNOWN_MEDIA_TYPE',
      'decrypt',
    );
  });

  it.each([
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
    'application/vnd.oci.image.layer.nondistributable.v1.tar',
  ])('foreign layers: %s', async (mediaType) => {
    const urls = ['https://example.com/layer'];
    await expectError(
      resolve(one({ layer: (it) => ({ ...it, mediaType, urls }) })),
      'ERR_FOREIGN_LAYER',
      'layers[0]',
      mediaType,
      'not distributed',
    );
  });

  it('artifacts', async () => {
    const mediaType = 'application/vnd.cncf.helm.config.v1+json';
    await expectError(
      resolve(one({ configDescriptor: (it) => ({ ...it, mediaType }) })),
      'ERR_UNKNOWN_MEDIA_TYPE',
      'not a container image but an artifact',
      mediaType,
    );
    const empty = 'application/vnd.oci.empty.v1+json';
    await expectError(
      resolve(
        one({
          configDescriptor: (it) => ({ ...it, mediaType: empty }),
          manifest: (it) => ({ ...it, artifactType: 'application/x.thing' }),
        }),
      ),
      'ERR_UNKNOWN_MEDIA_TYPE',
      'application/x.thing',
    );
  });

  it('Docker schema 1', async () => {
    const mediaType = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
    await expectError(
      resolve(one({ descriptor: (it) => ({ ...it, mediaType }) })),
      'ERR_UNKNOWN_MEDIA_TYPE',
      'schema 1',
    );
    await expectError(
      resolve(one({ manifest: () => ({ schemaVersion: 1, fsLayers: [] }) })),
      'ERR_UNKNOWN_MEDIA_TYPE',
      'schema 1',
    );
  });

  it('a root that is neither manifest nor index', async () => {
    await expectError(
      resolve(one({ descriptor: (it) => ({ ...it, mediaType: 'text/plain' }) })),
      'ERR_UNKNOWN_MEDIA_TYPE',
      'text/plain',
    );
  });

  it('a manifest under the type of an index, and the other way round', async () => {
    await expectError(
      resolve(one({ descriptor: (it) => ({ ...it, mediaType: mediaTypes.ociIndex }) })),
      'ERR_INVALID_IMAGE',
      'contradicts',
    );
    await expectError(
      resolve({
        ...one({}),
        nesting: 1,
        index: (it) =>
          JSON.parse(
            JSON.stringify(it).replace(/index.v1\+json","digest/, 'manifest.v1+json","digest'),
          ),
      }),
      'ERR_INVALID_IMAGE',
      'contradicts',
    );
  });

  it('a config of a wrong size, digest or content', async () => {
    await expectError(
      resolve(one({ configDescriptor: (it) => ({ ...it, size: it.size - 1 }) })),
      'ERR_SIZE_MISMATCH',
    );
    await expectError(
      resolve(one({ configDescriptor: (it) => ({ ...it, digest: digestOf('x') }) })),
      'ERR_BLOB_NOT_FOUND',
      digestOf('x'),
    );
    await expectError(
      resolve(one({ config: () => Buffer.from('{') })),
      'ERR_INVALID_IMAGE',
      'config sha256:',
      'not valid JSON',
    );
    await expectError(
      resolve(one({ config: () => Buffer.alloc(9 * 2 ** 20, 0x20) })),
      'ERR_LIMIT_EXCEEDED',
    );
    await expectError(
      resolve(
        one({ config: (it) => ({ ...it, rootfs: { type: 'layers', diff_ids: [1, 2, 3] } }) }),
      ),
      'ERR_INVALID_IMAGE',
      'rootfs.diff_ids[0]',
    );
  });

  it('a platform that is none', async () => {
    await expectError(
      resolve(one({}), 'amd64'),
      'ERR_INVALID_ARGUMENT',
      '"amd64" is not os/architecture',
    );
  });
});

describe('an index', () => {
  const image = (platform: string, more: LayoutImage = {}): LayoutImage => ({
    platform,
    layers,
    ...more,
  });
  const many = ['linux/arm/v6', 'linux/arm/v7', 'linux/arm64', 'linux/amd64', 'windows/amd64'];
  const index = (nesting = 1): LayoutOptions => ({
    images: many.map((platform) => image(platform)),
    nesting,
  });

  it.each([
    ['linux/amd64', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64'],
    ['linux/arm/v7', 'linux/arm/v7'],
    ['linux/arm/v8', 'linux/arm/v7'],
    ['linux/arm/v6', 'linux/arm/v6'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/aarch64', 'linux/arm64'],
  ])('has an image for %s: %s', async (wanted, platform) => {
    expect((await resolve(index(), wanted)).image.platform).toBe(platform);
    expect((await resolve(index(3), wanted)).image.platform).toBe(platform);
  });

  describe('with digests of another algorithm', () => {
    const blake3 = `blake3:${'a'.repeat(64)}`;
    const foreign = (digest = blake3): LayoutOptions => ({
      images: [
        image('linux/arm64', { descriptor: (it) => ({ ...it, digest }) }),
        image('linux/amd64'),
      ],
    });

    it.each([0, 1, 2])('in %i indexes: what can be used is used', async (nesting) => {
      const { image: found } = await resolve({ ...foreign(), nesting }, 'linux/amd64');
      expect(found.platform).toBe('linux/amd64');
      await expectError(
        resolve({ ...foreign(), nesting }, 'linux/arm64'),
        'ERR_INVALID_IMAGE',
        `${blake3}: is not a sha256 or sha512 digest`,
      );
      await expectError(
        resolve({ ...foreign(), nesting }, 'linux/s390x'),
        'ERR_PLATFORM_NOT_FOUND',
      );
    });

    it('beside the same image by a digest that is known: that one', async () => {
      const { images } = foreign();
      const same = images.map((one) => ({ ...one, platform: 'linux/amd64', listPlatform: false }));
      expect((await resolve({ images: same })).image.platform).toBe('linux/amd64');
    });

    it('alone: says what is wrong', async () => {
      const images = foreign().images.slice(0, 1);
      await expectError(resolve({ images }), 'ERR_INVALID_IMAGE', blake3);
    });

    it.each(['sha256:abc', 'blake3:../../x', 'blake3', ':x', 'a:b:c'])(
      'not where it is none: %s',
      async (digest) => {
        await expectError(resolve(foreign(digest), 'linux/amd64'), 'ERR_INVALID_IMAGE', 'digest');
      },
    );
  });

  it('without the wanted platform lists what there is', async () => {
    await expectError(
      resolve(index(), 'linux/s390x'),
      'ERR_PLATFORM_NOT_FOUND',
      'no image for linux/s390x',
      'it has linux/amd64, linux/arm/v6, linux/arm/v7, linux/arm64, windows/amd64',
    );
    await expectError(resolve(index(), 'linux/arm/v5'), 'ERR_PLATFORM_NOT_FOUND');
    await expectError(
      resolve({ images: [], nesting: 1 }),
      'ERR_PLATFORM_NOT_FOUND',
      'no image at all',
    );
  });

  it('that says no platforms is read on to the configs', async () => {
    const images = many.map((platform) => image(platform, { listPlatform: false }));
    expect((await resolve({ images, nesting: 2 }, 'linux/arm/v7')).image.platform).toBe(
      'linux/arm/v7',
    );
    await expectError(
      resolve({ images, nesting: 1 }, 'linux/riscv64'),
      'ERR_PLATFORM_NOT_FOUND',
      'linux/arm64, windows/amd64',
    );
  });

  it('may name images that were not copied', async () => {
    const images = many.map((platform) =>
      image(
        platform,
        platform === 'linux/amd64'
          ? {}
          : { descriptor: (it) => ({ ...it, digest: digestOf(platform) }) },
      ),
    );
    expect((await resolve({ images, nesting: 1 }, 'linux/amd64')).image.platform).toBe(
      'linux/amd64',
    );
    await expectError(
      resolve({ images, nesting: 1 }, 'linux/arm64'),
      'ERR_BLOB_NOT_FOUND',
      digestOf('linux/arm64'),
    );
  });

  it('may list attestations, which are no images', async () => {
    const attestation = image('unknown/unknown', {
      descriptor: (it) =>
        Object.assign(it, { annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } }),
    });
    const options = { images: [attestation, image('linux/arm64')], nesting: 1 };
    expect((await resolve(options, 'linux/arm64')).image.platform).toBe('linux/arm64');
    const work = resolve(options, 'linux/amd64');
    await expectError(work, 'ERR_PLATFORM_NOT_FOUND', 'it has linux/arm64');
    await expect(work).rejects.not.toThrow('unknown');
  });

  it('of artifacts alone says so', async () => {
    const images = [
      image('linux/amd64', { descriptor: (it) => ({ ...it, mediaType: 'text/plain' }) }),
    ];
    await expectError(resolve({ images, nesting: 1 }), 'ERR_UNKNOWN_MEDIA_TYPE', 'text/plain');
  });

  it('nested eight deep is read, deeper is refused', async () => {
    expect((await resolve(index(8), 'linux/amd64')).image.platform).toBe('linux/amd64');
    await expectError(resolve(index(9), 'linux/amd64'), 'ERR_LIMIT_EXCEEDED', 'deeper than 8');
  });

  it('that would contain itself fails by its digest', async () => {
    // No index can hold its own digest; one that claims to is found out when it is read.
    const digest = digestOf('self');
    const self = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [{ mediaType: mediaTypes.ociIndex, digest, size: 0 }],
    };
    self.manifests[0]!.size = JSON.stringify(self).length + 2;
    const bytes = JSON.stringify(self);
    const work = withScratch(async (directory) => {
      await writeLayout(directory, {
        images: [],
        index: (it) => ({
          ...it,
          manifests: [{ mediaType: mediaTypes.ociIndex, digest, size: bytes.length }],
        }),
      });
      await putBlob(directory, Buffer.from(bytes), digest);
      const source = await openImageSource(`oci:${directory}`);
      await resolveImage(source);
    });
    await expectError(work, 'ERR_DIGEST_MISMATCH');
  });

  it('that contains itself from a source that does not check is refused', async () => {
    const root = { mediaType: mediaTypes.ociIndex, digest: digestOf('self'), size: 1 };
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [root] }));
    const source = {
      reference: 'test:self',
      transport: 'oci' as const,
      resolve: async () => root,
      readBlob: async () => bytes,
      locateBlob: async () => ({ path: '/', offset: 0, length: 1 }),
      close: async () => {},
    };
    await expectError(resolveImage(source), 'ERR_INVALID_IMAGE', 'contains itself');
  });

  it('with one nested index many times is read once', async () => {
    let inner = { mediaType: '', digest: '', size: 0 };
    const prepare = async (directory: string) => {
      inner = await putJson(directory, { schemaVersion: 2, manifests: [] }, mediaTypes.ociIndex);
      for (let level = 0; level < 7; level++) {
        inner = await putJson(
          directory,
          { schemaVersion: 2, manifests: Array(500).fill(inner) },
          mediaTypes.ociIndex,
        );
      }
    };
    const work = resolve(
      { images: [], index: (it) => ({ ...it, manifests: [inner] }) },
      undefined,
      prepare,
    );
    await expectError(work, 'ERR_PLATFORM_NOT_FOUND');
  });

  it.each([
    [10_001, { os: 'linux', architecture: 'x' }, 'more than 10000'],
    [300, undefined, 'more than 256'],
  ])('with %i manifests for %j is refused', async (count, platform, message) => {
    let wide = { mediaType: '', digest: '', size: 0 };
    const prepare = async (directory: string) => {
      const manifests = Array.from({ length: count }, (_, at) => ({
        mediaType: mediaTypes.ociManifest,
        digest: digestOf(`${at}`),
        size: 1,
        platform,
      }));
      wide = await putJson(directory, { schemaVersion: 2, manifests }, mediaTypes.ociIndex);
    };
    const index = (it: object) => ({ ...it, manifests: [wide] });
    await expectError(
      resolve({ images: [], index }, 'linux/amd64', prepare),
      'ERR_LIMIT_EXCEEDED',
      message,
    );
  });
});
