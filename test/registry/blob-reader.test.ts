// Which parts of a blob are asked for: all of it at once, or ranges, by how fast the connection is.

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { inspectImage } from '../../src/index.js';
import { parseImageName } from '../../src/oci/reference.js';
import { readBlob } from '../../src/registry/blob-reader.js';
import { RegistryClient } from '../../src/registry/client.js';
import { biggestFileBytes, quick, usePullFixture } from '../support/pull.js';
import { registryAbsence as cannot } from '../support/registry.js';
import { platform } from '../support/write-image.js';

const first = 'bytes=0-4194303';

describe.skipIf(cannot !== undefined)(`readBlob${cannot ? ` (skipped: ${cannot})` : ''}`, () => {
  const fixture = usePullFixture();

  it.each([
    ['one range', { ranges: 1 }, [undefined]],
    ['three', { ranges: 3 }, [first, 'bytes=4194304-8388607', 'bytes=8388608-']],
    ['three, if slow', { ranges: 3, onlyBelow: 1 }, [first, 'bytes=4194304-']],
    [
      'three, if slow, and it is',
      { ranges: 3, onlyBelow: Number.POSITIVE_INFINITY },
      [first, 'bytes=4194304-8388607', 'bytes=8388608-'],
    ],
  ])('asks for %s', async (_, options, ranges) => {
    const { layers } = await inspectImage(fixture.layout, { platform });
    const { digest, size, mediaType } = layers[2] ?? { digest: '', size: 0, mediaType: '' };
    expect(size).toBeGreaterThan(biggestFileBytes);
    const client = await RegistryClient.open(parseImageName(fixture.reference), quick);
    const hash = createHash('sha256');
    try {
      await readBlob(client, { digest, size, mediaType }, { ...options, from: 0 }, (bytes) => {
        hash.update(bytes);
        return undefined;
      });
    } finally {
      await client.close();
    }
    expect(`sha256:${hash.digest('hex')}`).toBe(digest);
    const blobs = fixture.proxy.seen.filter(({ isBlob }) => isBlob);
    expect(blobs.map(({ headers }) => headers.range)).toEqual(ranges);
  });
});
