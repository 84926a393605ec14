// A Docker's records of layers, as plain files.

import fs from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { DockerStore } from '../../src/docker/store.js';
import { withScratch } from '../support/scratch.js';

test('what lies below each of many layers is told without reading all of them for each', async () => {
  await withScratch(async (root) => {
    await mkdir(path.join(root, 'image/overlay2'), { recursive: true });
    const count = 500;
    for (let n = 0; n < count; n++) {
      const own = path.join(root, 'overlay2', `layer${n}`);
      await mkdir(own, { recursive: true });
      await writeFile(path.join(own, 'link'), `L${n}`);
      if (n > 0) {
        await writeFile(path.join(own, 'lower'), `l/L${n - 1}`);
      }
    }
    const store = DockerStore.open(root);
    const reads = vi.spyOn(fs, 'readFileSync');
    syncBuiltinESMExports();
    onTestFinished(() => {
      reads.mockRestore();
      syncBuiltinESMExports();
    });
    for (let n = 1; n < count; n++) {
      const below = path.join(root, 'overlay2', `layer${n - 1}`, 'diff');
      const layer = { chainID: '', diffID: '', parent: undefined, directory: '', tarSplit: '' };
      expect(store.lowers({ ...layer, cacheID: `layer${n}` })).toEqual([below]);
    }
    expect(reads.mock.calls.length).toBeGreaterThan(count); // they are the ones that are counted
    expect(reads.mock.calls.length).toBeLessThan(3 * count);
  });
});
