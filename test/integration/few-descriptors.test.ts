// An image of many layers for a process that may have few descriptors, with links from the top into the bottom layer, which
// was moved to its place long before.

import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { withScratch } from '../support/scratch.js';
import { dir, file, hardlink } from '../support/tar-builder.js';
import { platform, writeImage } from '../support/write-image.js';

const root = process.getuid?.() === 0;
const command = path.resolve('dist/cli/main.js');
const bottom = [dir('d'), file('d/bottom', 'of the bottom')];
const layers = [
  bottom,
  ...Array.from({ length: 60 }, (_, i) => [dir('d'), file(`d/${i}`, `${i}`)]),
  [hardlink('top', 'd/bottom')],
];

function run(...args: string[]): string {
  const limited = ['-c', 'ulimit -n 128; exec "$@"', 'sh', process.execPath, command, ...args];
  return execFileSync('sh', limited, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

test('unpack', async () => {
  await withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), layers);
    const image = path.join(scratch, 'image');
    run('unpack', reference, image, '--platform', platform);
    expect(await readFile(path.join(image, 'layers/061/fs/top'), 'utf8')).toBe('of the bottom');
  });
});

test.skipIf(!root)('import, overlayfs (needs root)', async () => {
  await withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), layers);
    const store = ['--root', path.join(scratch, 'store')];
    run('import', ...store, '--name', 'many', '--platform', platform, reference);
    const listed = JSON.parse(run('snapshots', 'ls', ...store, '--json')) as unknown[];
    expect(listed).toHaveLength(layers.length);
  });
});
