// Manifests, indexes and configs, as they are and as hostile ones are.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UnpackError } from '../../src/errors.js';
import {
  digestOf,
  mediaKind,
  mediaTypes,
  parseConfig,
  parseIndex,
  parseManifest,
} from '../../src/oci/index.js';

const layer = { mediaType: mediaTypes.ociLayerGzip, digest: digestOf('layer'), size: 5 };
const config = { mediaType: mediaTypes.ociConfig, digest: digestOf('config'), size: 6 };
const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] };
const imageConfig = {
  os: 'linux',
  architecture: 'amd64',
  rootfs: { type: 'layers', diff_ids: [digestOf('tar')] },
};

const bytes = (document: unknown) =>
  Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
const readManifest = (document: unknown) =>
  parseManifest(bytes(document), 'manifest M', mediaTypes.ociManifest);
const readIndex = (document: unknown) =>
  parseIndex(bytes(document), 'index I', mediaTypes.ociIndex);
const readConfig = (document: unknown) => parseConfig(bytes(document), 'config C');

function errorOf(work: () => unknown): UnpackError {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(UnpackError);
    return error as UnpackError;
  }
  throw new Error('nothing was thrown');
}

describe('parseManifest', () => {
  it('reads a manifest, with or without a mediaType of its own', () => {
    expect(readManifest(manifest)).toEqual(manifest);
    const { mediaType: _, ...bare } = manifest;
    expect(readManifest(bare)).toEqual(manifest);
    expect(readManifest({ ...manifest, annotations: { a: 'b' }, unknown: [1] })).toEqual({
      ...manifest,
      annotations: { a: 'b' },
    });
  });

  it.each([
    ['not JSON', '{', 'manifest M: is not valid JSON'],
    ['an array', [], 'manifest M: is not a JSON object'],
    ['null', 'null', 'manifest M: is not a JSON object'],
    ['no version', { ...manifest, schemaVersion: undefined }, 'schemaVersion: is missing'],
    ['version 3', { ...manifest, schemaVersion: 3 }, 'schemaVersion: is 3, not 2'],
    ['a version in a string', { ...manifest, schemaVersion: '2' }, 'schemaVersion: "2" is not'],
    [
      'another type',
      { ...manifest, mediaType: mediaTypes.ociIndex },
      'mediaType: "application/vnd.oci.image.index.v1+json" contradicts',
    ],
    ['an index too (CVE-2021-41190)', { ...manifest, manifests: [] }, 'manifests: has no place'],
    ['no config', { ...manifest, config: null }, 'config: is missing'],
    ['no layers', { ...manifest, layers: undefined }, 'layers: is missing'],
    ['layers as an object', { ...manifest, layers: {} }, 'layers: is not an array'],
    ['a layer that is null', { ...manifest, layers: [layer, null] }, 'layers[1]: is not an object'],
    [
      'a negative size',
      { ...manifest, layers: [{ ...layer, size: -1 }] },
      'layers[0].size: -1 is not a whole number',
    ],
    [
      'a size with a fraction',
      { ...manifest, layers: [{ ...layer, size: 1.5 }] },
      'layers[0].size: 1.5',
    ],
    [
      'a size beyond 2^53',
      JSON.stringify(manifest).replace('"size":5', '"size":9007199254740993'),
      'layers[0].size',
    ],
    [
      'a size of 1e999',
      JSON.stringify(manifest).replace('"size":5', '"size":1e999'),
      'layers[0].size',
    ],
    [
      'a size in a string',
      { ...manifest, layers: [{ ...layer, size: '5' }] },
      'layers[0].size: "5"',
    ],
    [
      'a digest that is a path',
      { ...manifest, layers: [{ ...layer, digest: 'sha256:../../x' }] },
      'layers[0].digest: "sha256:../../x"',
    ],
    [
      'an unknown algorithm',
      { ...manifest, layers: [{ ...layer, digest: `md5:${'0'.repeat(32)}` }] },
      'layers[0].digest',
    ],
    [
      'a media type with a newline',
      { ...manifest, layers: [{ ...layer, mediaType: 'a/b\n' }] },
      'layers[0].mediaType',
    ],
    [
      'annotations that are no strings',
      { ...manifest, annotations: { a: 1 } },
      'annotations.a: is not a string',
    ],
    [
      'urls that are no strings',
      { ...manifest, layers: [{ ...layer, urls: [1] }] },
      'layers[0].urls[0]',
    ],
  ])('refuses %s', (_, document, message) => {
    const error = errorOf(() => readManifest(document));
    expect(error.code).toBe('ERR_INVALID_IMAGE');
    expect(error.message).toContain(message);
    expect(error.message).toContain('manifest M: ');
  });

  it('refuses schema 1 and says what to do', () => {
    const error = errorOf(() => readManifest({ schemaVersion: 1, fsLayers: [] }));
    expect(error.code).toBe('ERR_UNKNOWN_MEDIA_TYPE');
    expect(error.message).toContain('skopeo copy');
  });

  it('refuses bytes that are no UTF-8', () => {
    const broken = Buffer.from(
      JSON.stringify({ ...manifest, x: 'y' }).replace('y', '\xff'),
      'latin1',
    );
    expect(errorOf(() => parseManifest(broken, 'M', mediaTypes.ociManifest)).message).toContain(
      'UTF-8',
    );
  });

  it('refuses deep nesting, and is not fooled by brackets in strings', () => {
    const deep = JSON.stringify({ ...manifest, x: 0 }).replace(
      '"x":0',
      `"x":${'['.repeat(1e6)}${']'.repeat(1e6)}`,
    );
    expect(errorOf(() => readManifest(deep)).message).toContain('nests deeper than 64');
    expect(readManifest({ ...manifest, x: `\\"${'['.repeat(1000)}` })).toEqual(manifest);
  });

  it('takes "__proto__" for a key like any other', () => {
    const text = JSON.stringify(manifest).replace(
      '{',
      '{"__proto__":{"layers":[]},"annotations":{"__proto__":"x"},',
    );
    const parsed = readManifest(text);
    expect(parsed.layers).toHaveLength(1);
    expect(Object.keys(parsed.annotations ?? {})).toEqual(['__proto__']);
    expect(errorOf(() => readManifest('{"__proto__":{"schemaVersion":2}}')).message).toContain(
      'schemaVersion: is missing',
    );
  });
});

describe('parseIndex', () => {
  const index = {
    schemaVersion: 2,
    manifests: [{ ...config, platform: { os: 'linux', architecture: 'arm', variant: 'v7' } }],
  };

  it('reads an index', () => {
    expect(readIndex(index)).toEqual({ ...index, mediaType: mediaTypes.ociIndex });
    expect(parseIndex(bytes(index), 'index.json')).toEqual(index);
  });

  it.each([
    ['a manifest too (CVE-2021-41190)', { ...index, layers: [] }, 'layers: has no place'],
    ['a config', { ...index, config }, 'config: has no place'],
    ['no manifests', { schemaVersion: 2 }, 'manifests: is missing'],
    [
      'a platform without os',
      { ...index, manifests: [{ ...config, platform: { architecture: 'arm' } }] },
      'manifests[0].platform.os: is missing',
    ],
    [
      'a platform as text',
      { ...index, manifests: [{ ...config, platform: 'linux/arm' }] },
      'manifests[0].platform: is not an object',
    ],
  ])('refuses %s', (_, document, message) => {
    const error = errorOf(() => readIndex(document));
    expect(error).toMatchObject({ code: 'ERR_INVALID_IMAGE' });
    expect(error.message).toContain(message);
  });
});

describe('parseConfig', () => {
  it('reads a config, and takes null for absent as Go writes it', () => {
    expect(readConfig(imageConfig)).toEqual(imageConfig);
    expect(
      readConfig({ ...imageConfig, variant: '', author: null, history: null, config: null }),
    ).toEqual(imageConfig);
    const history = [{ created_by: 'a' }, { created_by: 'b', empty_layer: true }];
    expect(readConfig({ ...imageConfig, history })).toEqual({ ...imageConfig, history });
    expect(readConfig({ rootfs: { type: 'layers', diff_ids: null } }).rootfs.diff_ids).toEqual([]);
  });

  it.each([
    ['no rootfs', { os: 'linux' }, 'rootfs: is missing'],
    ['another kind of rootfs', { rootfs: { type: 'layers+base', diff_ids: [] } }, 'rootfs.type'],
    [
      'a diffID that is none',
      { rootfs: { type: 'layers', diff_ids: [digestOf(''), 'x'] } },
      'rootfs.diff_ids[1]: "x"',
    ],
    [
      'a diffID that is a number',
      { rootfs: { type: 'layers', diff_ids: [1] } },
      'rootfs.diff_ids[0]',
    ],
    ['an os that is a number', { ...imageConfig, os: 1 }, 'os: is not a string'],
    ['a history of numbers', { ...imageConfig, history: [1] }, 'history[0]: is not an object'],
    [
      'an empty_layer in words',
      { ...imageConfig, history: [{ empty_layer: 'yes' }] },
      'history[0].empty_layer',
    ],
  ])('refuses %s', (_, document, message) => {
    const error = errorOf(() => readConfig(document));
    expect(error).toMatchObject({ code: 'ERR_INVALID_IMAGE' });
    expect(error.message).toContain(message);
  });
});

it('any JSON gives a document or a typed error', () => {
  const field = fc.constantFrom(
    'schemaVersion',
    'mediaType',
    'config',
    'layers',
    'manifests',
    'digest',
    'size',
    'platform',
    'os',
    'architecture',
    'rootfs',
    'type',
    'diff_ids',
    'history',
    'annotations',
    '__proto__',
    'constructor',
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(2, 'layers', layer, config, manifest, imageConfig, null),
      fc.jsonValue({ maxDepth: 1 }),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(field, tie('value'), { maxKeys: 6 }),
    ),
  }));
  fc.assert(
    fc.property(value, (document) => {
      for (const read of [readManifest, readIndex, readConfig]) {
        try {
          read(document ?? null);
        } catch (error) {
          expect(error).toBeInstanceOf(UnpackError);
          expect((error as UnpackError).code).toMatch(/^ERR_(INVALID_IMAGE|UNKNOWN_MEDIA_TYPE)$/);
        }
      }
    }),
    { numRuns: 500 },
  );
});

it.each([
  ['application/vnd.oci.image.layer.v1.tar+zstd', 'layer'],
  ['application/vnd.docker.image.rootfs.diff.tar', 'layer'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', 'foreign-layer'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', 'foreign-layer'],
  ['application/vnd.docker.distribution.manifest.v1+prettyjws', 'schema1'],
  ['application/vnd.oci.image.layer.v1.tar+gzip+encrypted', 'unknown'],
  ['toString', 'unknown'],
])('%s is of kind %s', (mediaType, kind) => {
  expect(mediaKind(mediaType)).toBe(kind);
});
