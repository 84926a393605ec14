// Paths of thousands of directories must not cost the square of their depth, whatever lies below.

import path from 'node:path';
import { expect, it } from 'vitest';
import { unpack } from '../support/image.js';
import { withScratch } from '../support/scratch.js';
import { file } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

it('a deep path over the same path in a lower layer takes about as long as without', async () => {
  const deep = [file(`${'d/'.repeat(4000)}f`)];
  const times: number[] = [];
  for (const layers of [[deep], [deep, deep]]) {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const start = performance.now();
      await unpack(reference, path.join(scratch, 'image'));
      times.push(performance.now() - start);
    });
  }
  const [alone = 0, over = 0] = times;
  // It was 17 times, and is 3 times (there are two layers to write).
  expect(over / alone).toBeLessThan(9);
});
