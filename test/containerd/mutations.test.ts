// Databases of a real containerd, damaged at random: a typed error or an answer, never a crash, a hang or another error.
// What no page of the database uses may be anything without being noticed. MUTATIONS=10000 MUTATION_SEED=2 in the
// environment: that many, others. Failures name their number; the same seed makes them again.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type BoltBucket, BoltFile } from '../../src/bolt/index.js';
import { chooseMeta } from '../../src/bolt/meta.js';
import { BoltTransaction } from '../../src/bolt/transaction.js';
import { ContainerdStore } from '../../src/containerd/index.js';
import { UnpackError } from '../../src/errors.js';
import { sealMeta } from '../support/bolt-builder.js';
import { noContainerd, withContainerd } from '../support/containerd.js';
import { Random } from '../support/random.js';
import { withScratch } from '../support/scratch.js';

const count = Number(process.env.MUTATIONS ?? 500);
const seed = Number(process.env.MUTATION_SEED ?? 1);
const mostMilliseconds = 5000;
const expected = ['ERR_INVALID_STORE', 'ERR_UNKNOWN_STORE_VERSION'];
const files = [
  'io.containerd.metadata.v1.bolt/meta.db',
  'io.containerd.snapshotter.v1.overlayfs/metadata.db',
];

describe.skipIf(noContainerd)(`of a real containerd ${noContainerd ?? ''}`, () => {
  it(`${count} mutations of its databases are told or harmless`, { timeout: 900_000 }, async () => {
    const originals = await makeDatabases();
    await withScratch(async (root) => {
      for (const [index, file] of files.entries()) {
        await mkdir(path.join(root, path.dirname(file)), { recursive: true });
        await writeFile(path.join(root, file), originals[index] ?? '');
      }
      const truth = JSON.stringify(await readStore(root));
      expect(truth).toContain('example.test/mutations:59');
      const used = originals.map(usedPages);
      const seen = { errors: 0, same: 0, different: 0 };
      for (let number = 0; number < count; number++) {
        const random = new Random(seed * 1_000_000 + number);
        const which = random.chance(0.7) ? 0 : 1;
        const original = originals[which] as Buffer;
        const { bytes, touched } = mutate(original, random, used[which] as Set<number>);
        const file = path.join(root, files[which] as string);
        await writeFile(file, bytes);
        const started = performance.now();
        let answer: string | undefined;
        try {
          answer = JSON.stringify(await readStore(root));
        } catch (error) {
          const known = error instanceof UnpackError && expected.includes(error.code);
          if (!known) {
            throw new Error(`mutation ${number}: ${error}`, { cause: error });
          }
        }
        expect(performance.now() - started, `mutation ${number}`).toBeLessThan(mostMilliseconds);
        const isUsed = touched.some((page) => page < 2 || used[which]?.has(page));
        expect(isUsed || answer === truth, `mutation ${number} of pages ${touched}`).toBe(true);
        seen[answer === undefined ? 'errors' : answer === truth ? 'same' : 'different']++;
        await writeFile(file, original);
      }
      console.log(`${count} mutations, seed ${seed}: ${JSON.stringify(seen)}`);
      expect(seen.errors).toBeGreaterThan(count / 4);
      expect(JSON.stringify(await readStore(root))).toBe(truth);
    });
  });
});

const pageSize = 4096;

/** The databases of a containerd with an image of many names: branches, nested and inline buckets, free pages. */
function makeDatabases(): Promise<Buffer[]> {
  return withContainerd(async (daemon) => {
    await daemon.importImage('default', 'example.test/mutations');
    const tags = Array.from({ length: 60 }, (_, i) => `example.test/mutations:${i}`);
    await daemon.ctr('default', 'images', 'tag', 'example.test/mutations:latest', ...tags);
    const long = ['a', 'b', 'c'].map((key) => `${key}=${key.repeat(3000)}`);
    await daemon.ctr('default', 'images', 'label', 'example.test/mutations:latest', ...long);
    await daemon.ctr('default', 'images', 'rm', 'example.test/mutations:7');
    const [[top = ''] = []] = await daemon.rows('default', 'snapshots', 'ls');
    for (let i = 0; i < 12; i++) {
      await daemon.ctr('default', 'snapshots', 'prepare', `${'long-'.repeat(30)}work-${i}`, top);
    }
    return Promise.all(files.map((file) => readFile(path.join(daemon.root, file))));
  });
}

/** All that can be read of a store. The snapshotter's part is read for itself: what lacks it is waited for. */
async function readStore(root: string): Promise<unknown> {
  const store = ContainerdStore.open(root);
  try {
    const all: unknown[] = [[...((await store.storedSnapshots('overlayfs')) ?? [])]];
    for (const namespace of await store.namespaces()) {
      const { name } = namespace;
      const images = await store.images(name);
      for (const image of images) {
        expect(await store.image(name, image.name)).toEqual(image);
      }
      all.push(namespace, images, await store.blobs(name), await store.containers(name));
    }
    // Every bucket, also those that no record is made of.
    for (const file of files) {
      const database = BoltFile.open(path.join(root, file));
      try {
        all.push(await database.view((transaction) => dump(transaction.root)));
      } finally {
        database.close();
      }
    }
    return all;
  } finally {
    store.close();
  }
}

function dump(bucket: BoltBucket): unknown[] {
  return Array.from(bucket.entries(), ({ key, value, bucket: below }) => [
    key.toString('latin1'),
    below === undefined ? value?.toString('latin1') : dump(below),
  ]);
}

/** The numbers of the pages that are read, with their overflow. */
function usedPages(bytes: Buffer): Set<number> {
  const pages = new Set<number>();
  const read = (offset: number, length: number) => {
    for (let at = offset; at < offset + length; at += pageSize) {
      pages.add(at / pageSize);
    }
    return bytes.subarray(offset, offset + length);
  };
  const meta = chooseMeta((offset) => bytes.subarray(offset, offset + 80), 'original');
  expect(meta.pageSize).toBe(pageSize);
  dump(new BoltTransaction('original', { size: bytes.length, read }, meta, 2 ** 30).root);
  return pages;
}

const numbers = [0, 1, 2, 15, 16, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/** A damaged copy, and the pages that differ. */
function mutate(
  original: Buffer,
  random: Random,
  used: ReadonlySet<number>,
): { bytes: Buffer; touched: number[] } {
  let bytes = Buffer.from(original);
  const pages = bytes.length / pageSize;
  const [inUse, all] = [[...used], pages];
  for (let i = random.pick([1, 1, 1, 2, 5, 20]); i > 0; i--) {
    const page = random.chance(0.8) ? random.pick(inUse) : random.below(all);
    const at = page * pageSize;
    if (at + pageSize > bytes.length) {
      continue;
    }
    // Most of the page's table and the first bytes behind it: that is where the structure is.
    const near = at + random.below(random.pick([16, 16, 64, 256, pageSize]));
    switch (random.below(8)) {
      case 0:
      case 1:
        bytes[near] = (bytes[near] ?? 0) ^ (1 << random.below(8));
        break;
      case 2:
        bytes[near] = random.below(256);
        break;
      case 3:
        bytes.writeUInt32LE(random.pick(numbers), Math.min(near & ~3, bytes.length - 4));
        break;
      case 4: {
        // A number that could be right: a page's, a length, a count.
        const width = random.pick([2, 4]);
        bytes.writeUIntLE(
          random.below(pages * 2),
          Math.min(near & ~1, bytes.length - width),
          width,
        );
        break;
      }
      case 5:
        original.copy(
          bytes,
          at,
          random.pick(inUse) * pageSize,
          (random.pick(inUse) + 1) * pageSize,
        );
        break;
      case 6:
        bytes.fill(random.pick([0, 0xff]), near, Math.min(near + random.below(64), at + pageSize));
        break;
      default: {
        // A meta page that is valid, but says something else.
        const meta = random.below(2) * pageSize;
        const field = meta + 16 + random.pick([4, 8, 16, 24, 32, 40, 48]);
        bytes.writeUInt32LE(random.pick([...numbers, ...inUse, pages]), field);
        if (random.chance(0.9)) {
          sealMeta(bytes.subarray(meta, meta + pageSize));
        }
      }
    }
  }
  if (random.chance(0.05)) {
    bytes = bytes.subarray(0, random.below(bytes.length));
  }
  const touched: number[] = [];
  for (let page = 0; page < pages; page++) {
    const [from, to] = [page * pageSize, (page + 1) * pageSize];
    if (!original.subarray(from, to).equals(bytes.subarray(from, to))) {
      touched.push(page);
    }
  }
  return { bytes, touched };
}
