// kill -9 at any moment of an import, of one process and of two at once on the same image: what is there is whole, the
// next try succeeds, and nothing is left when it is not needed any more. `npm run soak` does it 500 times.

import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Store } from '../../src/index.js';
import { withScratch } from '../support/scratch.js';
import {
  crashImages,
  expectedSnapshots,
  leftovers,
  randomNumbers,
  snapshotsOf,
  soak,
  startImporter,
  wrongSnapshots,
} from './crash.js';

const kills = soak ? 500 : 15;
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);

describe.skipIf(process.geteuid?.() !== 0)('kill -9', () => {
  it(`${kills} times (seed ${seed})`, { timeout: kills * 20_000 }, async () => {
    await withScratch(async (scratch) => {
      const [reference = ''] = await crashImages(scratch, 1, 8, soak ? 60 : 30);
      const expected = await expectedSnapshots(path.join(scratch, 'expected'), [reference]);
      const root = path.join(scratch, 'store');
      const random = randomNumbers(seed);
      const seen = { absent: 0, some: 0, all: 0, completed: 0 };

      // How long one takes here, undisturbed.
      const first = startImporter(root, 'background', [reference]);
      await first.begun;
      const started = performance.now();
      expect(await first.ended).toBe(0);
      const typical = performance.now() - started;
      await collectAll(root, reference);

      for (let kill = 0; kill < kills; ) {
        const processes = random() < 0.5 ? 1 : 2;
        const importers = Array.from({ length: processes }, () =>
          startImporter(root, 'background', [reference]),
        );
        await Promise.all(importers.map(({ begun }) => begun));
        for (const importer of importers) {
          await sleep((random() * typical) / processes);
          importer.process.kill('SIGKILL');
        }
        const ends = await Promise.all(importers.map(({ ended }) => ended));
        expect(ends.filter((end) => end !== 0 && end !== 'SIGKILL')).toEqual([]);
        // One that had ended already was not killed.
        seen.completed += ends.filter((end) => end === 0).length;
        kill += ends.filter((end) => end === 'SIGKILL').length;

        const store = await Store.open(root);
        try {
          expect(await wrongSnapshots(store, expected)).toEqual([]);
          const count = (await snapshotsOf(store)).length;
          seen[count === 0 ? 'absent' : count === expected.size ? 'all' : 'some']++;
          expect(store.leases.list()).toEqual([]);
          if (random() < 0.3) {
            continue; // the next is killed on top of what is there
          }
          await store.import(reference);
          expect(await wrongSnapshots(store, expected)).toEqual([]);
          expect(await snapshotsOf(store)).toHaveLength(expected.size);
        } finally {
          await store.close();
        }
        if (random() < 0.8) {
          await collectAll(root, reference);
        }
      }
      console.log(`killed while: ${JSON.stringify(seen)}, ${Math.round(typical)} ms undisturbed`);
      if (soak) {
        expect(seen.some).toBeGreaterThan(0);
      }
    });
  });
});

/** Takes the image away; nothing of it must be left. */
async function collectAll(root: string, reference: string): Promise<void> {
  const store = await Store.open(root);
  try {
    await store.import(reference);
    for (const { name } of store.images.list()) {
      store.images.remove(name);
    }
    await store.gc();
    expect(await snapshotsOf(store)).toEqual([]);
    expect(store.content.list()).toEqual([]);
    expect(await leftovers(root)).toEqual([]);
  } finally {
    await store.close();
  }
}
