// Real images from a real registry: the snapshots of a pull are those of an import, layer by layer.
// Run by `npm run test:corpus -- DIR [WORK]`, as corpus.test.ts.

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Store } from '../../src/index.js';
import { registryAbsence, startRegistry, type TestRegistry } from '../support/registry.js';
import { scratchRoot } from '../support/scratch.js';
import { compareTrees } from '../support/tree.js';
import { dumpTree } from '../support/tree-dump.js';

const corpus = process.env.CORPUS ?? '';
const images = ['debian-node', 'debian-node-zstd', 'small-files', 'many-layers'].filter((name) =>
  existsSync(path.join(corpus, name, 'oci-layout')),
);
const timeout = 1_200_000;
const runs = corpus !== '' && images.length > 0 && process.geteuid?.() === 0;

describe.skipIf(!runs || registryAbsence !== undefined)('pull', () => {
  let work = '';
  let registry: TestRegistry;
  beforeAll(async () => {
    const root = process.env.CORPUS_WORK ?? scratchRoot;
    await mkdir(root, { recursive: true });
    work = await mkdtemp(path.join(root, 'oci-unpack-pull-'));
    registry = await startRegistry(path.join(work, 'registry'));
  });
  afterAll(async () => {
    await registry?.stop();
    await rm(work, { recursive: true, force: true });
  }, timeout);

  for (const image of images) {
    it(`${image}: the same snapshots as an import`, { timeout }, async () => {
      const layout = path.join(corpus, image);
      const reference = await registry.push(layout, `corpus/${image}:latest`);
      const stores = [path.join(work, `${image}-pulled`), path.join(work, `${image}-imported`)];
      const [one, other] = await Promise.all(stores.map((root) => Store.open(root)));
      try {
        const pulled = await one?.pull(reference, { plainHttp: true, hostsDirectories: [] });
        const imported = await other?.import(`oci:${layout}`);
        expect(pulled?.layers.map(({ chainID }) => chainID)).toEqual(
          imported?.layers.map(({ chainID }) => chainID),
        );
        for (const [index, { directory, counts }] of (imported?.layers ?? []).entries()) {
          const layer = pulled?.layers[index];
          expect(layer?.counts).toEqual(counts);
          const trees = [
            await dumpTree(directory),
            await dumpTree(layer?.directory ?? ''),
          ] as const;
          expect(compareTrees(...trees)).toEqual([]);
        }
        expect(pulled?.warnings).toEqual(imported?.warnings);
      } finally {
        await Promise.all([one?.close(), other?.close()]);
        await Promise.all(stores.map((root) => rm(root, { recursive: true })));
      }
    });
  }
});
