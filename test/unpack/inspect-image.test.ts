// Cancelling while an archive is decompressed, which may take minutes. The archive ends too early, which is only
// found by who goes on.

import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { inspectImage, unpackImage } from '../../src/index.js';
import { withScratch } from '../support/scratch.js';

describe.each([
  ['inspectImage', inspectImage],
  ['unpackImage', (reference, options) => unpackImage(reference, 'nowhere', options)],
] as [string, typeof inspectImage][])('%s', (_, call) => {
  test('is cancelled while it opens an archive', async () => {
    await withScratch(async (scratch) => {
      const archive = path.join(scratch, 'cut.tar.gz');
      await writeFile(archive, gzipSync(Buffer.alloc(2 ** 24)).subarray(0, -8));
      const controller = new AbortController();
      const calling = call(`oci-archive:${archive}`, { signal: controller.signal });
      setImmediate(() => controller.abort(new Error('enough')));
      await expect(calling).rejects.toMatchObject({
        code: 'ERR_ABORTED',
        cause: { message: 'enough' },
      });
    });
  });

  test('does not begin when it is cancelled already', async () => {
    const calling = call('oci:/nowhere', { signal: AbortSignal.abort() });
    await expect(calling).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });
});
