// Databases of a real containerd, damaged at random: a typed error or an answer, never a crash, a hang or another error.
// What no page of the database uses may be anything without being noticed. MUTATIONS=10000 MUTATION_SEED=2 in the
// environment: that many, others. Failures name their number; the same seed makes them again.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { BoltFile } from '../../src/bolt/index.js';
import { BoltTransaction } from '../../src/bolt/transaction.js';
import { ContainerdStore } from '../../src/containerd/index.js';
import { UnpackError } from '../../src/errors.js';
import { dump, mutate, usedPages } from '../support/bolt-mutations.js';
import { noContainerd, withContainerd } from '../support/containerd.js';
import { Random } from '../support/random.js';
import { withScratch } from '../support/scratch.js';

const count = Number(process.env.MUTATIONS ?? 500);
const seed = Number(process.env.MUTATION_SEED ?? 1);
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
      const pages = vi.spyOn(BoltTransaction.prototype, 'page');
      const truth = JSON.stringify(await readStore(root));
      expect(truth).toContain('example.test/mutations:59');
      const fewPages = pages.mock.calls.length;
      const used = originals.map(usedPages);
      const seen = { errors: 0, same: 0, different: 0 };
      for (let number = 0; number < count; number++) {
        const random = new Random(seed * 1_000_000 + number);
        const which = random.chance(0.7) ? 0 : 1;
        const original = originals[which] as Buffer;
        const { bytes, touched } = mutate(original, random, used[which] as Set<number>);
        const file = path.join(root, files[which] as string);
        await writeFile(file, bytes);
        pages.mockClear();
        let answer: string | undefined;
        try {
          answer = JSON.stringify(await readStore(root));
        } catch (error) {
          const known = error instanceof UnpackError && expected.includes(error.code);
          if (!known) {
            throw new Error(`mutation ${number}: ${error}`, { cause: error });
          }
        }
        expect(pages.mock.calls.length, `mutation ${number}`).toBeLessThan(10 * fewPages);
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
