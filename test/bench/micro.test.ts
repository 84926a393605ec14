// `npm run bench:micro` takes a while, and no compiler looks at what it loads: a short form of it runs here.

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import { withScratch } from '../support/scratch.js';
import { dir, file } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const root = path.resolve(import.meta.dirname, '../..');

test('bench:micro times each piece', async () => {
  await withScratch(async (scratch) => {
    const image = path.join(scratch, 'layout');
    const reference = await writeImage(image, [[dir('etc'), file('etc/hosts', 'localhost\n')]]);
    // In a process of its own: Vitest would transform all of dist/.
    const args = [path.join(root, 'bench/micro/micro.mjs'), reference, '1'];
    const output = execFileSync(process.execPath, args, { encoding: 'utf8' });
    for (const piece of ['inflate by', 'sha256', 'parse the tar', 'create', 'unpackLayer of']) {
      expect(output).toMatch(new RegExp(`^${piece} .*\\d`, 'm'));
    }
  });
});
