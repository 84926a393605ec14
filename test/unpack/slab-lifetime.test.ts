import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { unpackLayer } from '../../src/index.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, tar } from '../support/tar-builder.js';

/** Bytes that occur nowhere else. */
function noise(seed: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) {
    bytes.writeUInt32LE(Math.imul(at + 1, 2654435761 + 2 * seed) >>> 0, at);
  }
  return bytes;
}

// Files that alone reach over the end of a slab, each followed by small ones, which the writers create while the
// next slabs are filled: a batch that held the wrong slab wrote bytes of later files.
test('small files after one that spans slabs have their own content', async () => {
  const contents = new Map<string, Buffer>();
  const add = (name: string, size: number) => contents.set(name, noise(contents.size, size));
  for (let group = 0; group < 40; group++) {
    add(`d/${group}-big`, 500_000);
    for (let index = 0; index < 8; index++) {
      add(`d/${group}-small-${index}`, 9_000);
    }
  }
  const blob = tar([dir('d'), ...[...contents].map(([name, bytes]) => file(name, bytes))]);
  await withScratch(async (scratch) => {
    const source = path.join(scratch, 'blob');
    await writeFile(source, blob);
    for (let round = 0; round < 5; round++) {
      const directory = path.join(scratch, String(round));
      await mkdir(directory);
      await unpackLayer(source, directory, { concurrency: 4 });
      const wrong: string[] = [];
      for (const [name, bytes] of contents) {
        const seen = await readFile(path.join(directory, name));
        if (sha256(seen) !== sha256(bytes)) {
          wrong.push(name);
        }
      }
      expect(wrong).toEqual([]);
    }
  });
});

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
