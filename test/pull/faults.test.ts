// A registry and a network that do wrong: each fault is passed over by another try, or is an error with a code; a wrong byte
// never becomes a blob or a snapshot, and the next pull is right.

import { describe, expect, it } from 'vitest';
import type { PullOptions, UnpackErrorCode } from '../../src/index.js';
import type { Fault, Seen } from '../support/fault-proxy.js';
import {
  expectSameAsImport,
  expectWhole,
  fileBytes,
  quick,
  usePullFixture,
} from '../support/pull.js';
import { Random } from '../support/random.js';
import { registryAbsence } from '../support/registry.js';
import { withStore } from '../support/store.js';

const cannot = process.geteuid?.() !== 0 ? 'not root' : registryAbsence;

/** Codes that wrong bytes may have: whoever sees them first. */
const damage = [
  'ERR_DIGEST_MISMATCH',
  'ERR_INVALID_GZIP',
  'ERR_INVALID_ZSTD',
  'ERR_INVALID_TAR',
  'ERR_UNKNOWN_COMPRESSION',
  'ERR_TRUNCATED',
] as const;

type Decide = (seen: Seen) => Fault | undefined;
type Wanted = UnpackErrorCode | readonly UnpackErrorCode[] | 'success';

const once =
  (of: 'blobs' | 'manifests', fault: Fault, times = 1): Decide =>
  ({ url, count }) =>
    url.includes(`/${of}/`) && count < times ? fault : undefined;
const always =
  (of: 'blobs' | 'manifests', fault: Fault): Decide =>
  ({ url }) =>
    url.includes(`/${of}/`) ? fault : undefined;
/** Of big layers: documents and small layers pass. */
const big =
  (fault: Fault): Decide =>
  ({ isBlob, headers }) =>
    isBlob && !headers.range ? { ...fault } : undefined;

type Row = readonly [name: string, decide: Decide, wanted: Wanted, options?: PullOptions];

const table: readonly Row[] = [
  ['a manifest dropped once', once('manifests', { drop: true }), 'success'],
  ['blobs dropped once', once('blobs', { drop: true }), 'success'],
  ['blobs cut once', once('blobs', { cutAfter: 100_000 }), 'success'],
  ['blobs cut once, in ranges', once('blobs', { cutAfter: 100 }), 'success', { parallelRanges: 3 }],
  [
    'blobs cut for ever at the first byte',
    always('blobs', { cutAfter: 0 }),
    'ERR_REGISTRY_UNREACHABLE',
  ],
  ['everything dropped', () => ({ drop: true }), 'ERR_REGISTRY_UNREACHABLE'],
  ['a stall', once('blobs', { stallAfter: 70_000 }), 'success'],
  ['stalls for ever', always('blobs', { stallAfter: 0 }), 'ERR_REGISTRY_UNREACHABLE'],
  ['429 once', once('manifests', { status: 429, headers: { 'retry-after': '1' } }), 'success'],
  ['429 for blobs', once('blobs', { status: 429 }), 'success'],
  ['429 for ever', () => ({ status: 429 }), 'ERR_RATE_LIMITED'],
  [
    '429 for an hour',
    () => ({ status: 429, headers: { 'retry-after': '3600' } }),
    'ERR_RATE_LIMITED',
  ],
  ['503 twice', once('blobs', { status: 503 }, 2), 'success'],
  ['503 for ever', always('blobs', { status: 503 }), 'ERR_REGISTRY'],
  ['500 for the manifest for ever', always('manifests', { status: 500 }), 'ERR_REGISTRY'],
  ['418', always('blobs', { status: 418 }), 'ERR_REGISTRY'],
  ['no such manifest', always('manifests', { status: 404 }), 'ERR_IMAGE_NOT_FOUND'],
  ['no such blob', always('blobs', { status: 404 }), 'ERR_BLOB_NOT_FOUND'],
  ['denied', () => ({ status: 403 }), 'ERR_REGISTRY_AUTH'],
  ['a wrong first byte', big({ flip: 0 }), damage],
  ['a wrong byte in the middle', big({ flip: 1_500_000 }), damage],
  ['a wrong byte near the end', big({ flip: fileBytes + 100 }), damage],
  ['a wrong byte, in ranges', always('blobs', { flip: 0 }), damage, { parallelRanges: 4 }],
  ['a wrong byte, not unpacked', big({ flip: 5 }), damage, { unpack: false }],
  ['a wrong byte of a document', always('manifests', { flip: 20 }), 'ERR_DIGEST_MISMATCH'],
  ['blobs too short', big({ lengthen: -7 }), 'ERR_SIZE_MISMATCH'],
  ['blobs too long', big({ lengthen: 7 }), 'ERR_SIZE_MISMATCH'],
  [
    'blobs too long, without a length',
    ({ isBlob }) =>
      isBlob ? { lengthen: 7, replace: { 'content-length': undefined } } : undefined,
    'ERR_SIZE_MISMATCH',
  ],
  [
    'another Docker-Content-Digest',
    always('blobs', { replace: { 'docker-content-digest': `sha256:${'0'.repeat(64)}` } }),
    'ERR_DIGEST_MISMATCH',
  ],
  [
    'a Docker-Content-Digest that is none',
    always('manifests', { replace: { 'docker-content-digest': 'sha256:../../x' } }),
    'ERR_REGISTRY',
  ],
  [
    'a registry without ranges',
    ({ isBlob, count }) =>
      isBlob
        ? { ignoreRange: true, ...(count < 2 && { cutAfter: 90_000 + 300_000 * count }) }
        : undefined,
    'success',
  ],
  [
    'a registry without ranges, asked for them',
    ({ isBlob }) => (isBlob ? { ignoreRange: true } : undefined),
    'success',
    { parallelRanges: 4 },
  ],
  [
    'another range than asked for',
    ({ isBlob, headers }) => {
      if (!isBlob) {
        return undefined;
      }
      return headers.range ? { replace: { 'content-range': 'bytes 0-9/10' } } : { cutAfter: 1000 };
    },
    'ERR_SIZE_MISMATCH',
  ],
  [
    'redirects in a circle',
    ({ url }) => ({ status: 307, headers: { location: url } }),
    'ERR_REGISTRY',
  ],
  [
    'a redirect to nowhere',
    () => ({ status: 302, headers: { location: 'ftp://x/' } }),
    'ERR_REGISTRY',
  ],
  [
    'no Docker-Content-Digest, no media type',
    always('manifests', {
      replace: { 'docker-content-digest': undefined, 'content-type': 'text/plain' },
    }),
    'success',
  ],
];

describe.skipIf(cannot !== undefined)(`faults${cannot ? ` (skipped: ${cannot})` : ''}`, () => {
  const fixture = usePullFixture();

  for (const [name, decide, wanted, options] of table) {
    it(name, async () => {
      await withStore(async (store) => {
        fixture.proxy.decide = decide;
        const pull = store.pull(fixture.reference, { ...quick, ...options });
        if (wanted === 'success') {
          await expectSameAsImport(await pull, fixture.layout);
          await expectWhole(store);
          return;
        }
        const error = await pull.then(
          () => ({ code: 'none' }),
          (reason) => reason,
        );
        expect([wanted].flat()).toContain(error.code);
        await expectWhole(store);
        fixture.proxy.reset();
        const report = await store.pull(fixture.reference, quick);
        await expectSameAsImport(report, fixture.layout, { files: wanted === damage });
        await expectWhole(store);
      });
    });
  }

  it.each([1, 3])(
    'cut 20 times at random, ranges at once %i: at most 5 %% more is fetched',
    async (parallelRanges) => {
      const random = new Random(parallelRanges);
      await withStore(async (store) => {
        let cuts = 0;
        fixture.proxy.decide = ({ isBlob, headers, method }) => {
          const first = !headers.range && random.chance(0.2);
          if (!isBlob || method !== 'GET' || cuts >= 20 || first) {
            return undefined;
          }
          cuts++;
          return { cutAfter: random.below(250_000) };
        };
        const report = await store.pull(fixture.reference, {
          ...quick,
          parallelRanges,
          downloads: 2,
        });
        expect(cuts).toBe(20);
        const size = report.layers.reduce((sum, layer) => sum + layer.size, 0);
        expect(fixture.proxy.blobBytes).toBeLessThan(size * 1.05);
        expect(report.network.bytes).toBeLessThan(size * 1.05);
        expect(report.network.resumed).toBeGreaterThan(10);
        await expectSameAsImport(report, fixture.layout);
        await expectWhole(store);
      });
    },
  );
});
