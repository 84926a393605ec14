// Paths of thousands of directories, longer than any system call takes: over the same in a lower layer, each directory that
// the upper one does not name is as it is there. That this does not cost the square of the depth is counted by
// test/native/tree/settle_test.cc.

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { expect, it } from 'vitest';
import { unpack } from '../support/image.js';
import { withScratch } from '../support/scratch.js';
import { dir, file } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

it('a deep path over the same path in a lower layer', async () => {
  const depth = 4000;
  const deep = 'd/'.repeat(depth);
  const layers = [[dir(deep, { mode: 0o711 }), file(`${deep}f`)], [file(`${deep}g`)]];
  await withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), layers);
    const report = await unpack(reference, path.join(scratch, 'image'));
    const deepest = report.layers.map((layer) => {
      const from = ['-mindepth', String(depth), '-printf', '%d %y %m %f\\n'];
      return execFileSync('find', [path.join(scratch, 'image', layer.path), ...from], {
        encoding: 'utf8',
      });
    });
    expect(deepest).toEqual([
      `${depth} d 711 d\n${depth + 1} f 644 f\n`,
      `${depth} d 711 d\n${depth + 1} f 644 g\n`,
    ]);
  });
});
