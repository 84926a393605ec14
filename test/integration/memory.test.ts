// A layer of any size unpacks in constant memory, whichever way its bytes come.

import { execFile } from 'node:child_process';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { withScratch } from '../support/scratch.js';
import { encodeItem, file } from '../support/tar-builder.js';
import { blockSize } from '../support/tar-header.js';

const run = promisify(execFile);
const library = path.resolve(import.meta.dirname, '../../dist/index.js');
const mebibyte = 2 ** 20;
const size = 400 * mebibyte;

/** Unpacks in a process of its own, which prints its peak of memory. */
const script = `
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { unpackLayer } from ${JSON.stringify(library)};
const [kind, blob, directory] = process.argv.slice(1);
const sources = {
  path: () => blob,
  stream: () => createReadStream(blob),
  web: () => Readable.toWeb(createReadStream(blob)),
};
const { counts } = await unpackLayer(sources[kind](), directory);
console.log(JSON.stringify({ bytes: counts.bytes, rss: process.resourceUsage().maxRSS * 1024 }));
`;

/** An uncompressed layer of one big file, itself a sparse file. */
async function writeLayer(blob: string): Promise<void> {
  const header = encodeItem(file('big', '', { size }));
  const handle = await open(blob, 'w');
  await handle.write(header);
  await handle.truncate(header.length + size + 2 * blockSize);
  await handle.close();
}

test.each(['path', 'stream', 'web'])('%s', { timeout: 120_000 }, async (kind) => {
  await withScratch(async (scratch) => {
    const blob = path.join(scratch, 'blob');
    await writeLayer(blob);
    const args = ['--input-type=module', '-e', script, kind, blob, path.join(scratch, 'layer')];
    const { bytes, rss } = JSON.parse((await run(process.execPath, args)).stdout);
    expect(bytes).toBe(size);
    expect(rss).toBeLessThan(200e6);
  });
});
