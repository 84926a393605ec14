// kill -9 at any moment of a repair: each snapshot is there, the damaged one or the whole one; the next repair heals what
// is left, and nothing lies about after that.

import { spawn } from 'node:child_process';
import { unlink } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Store } from '../../src/index.js';
import { crashImages, expectedSnapshots, leftovers, wrongSnapshots } from '../store/crash.js';
import { Random } from '../support/random.js';
import { withScratch } from '../support/scratch.js';

const worker = path.join(import.meta.dirname, 'repair-process.mjs');
const kills = process.env.SOAK === '1' ? 200 : 12;
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);

describe.skipIf(process.geteuid?.() !== 0)('kill -9 of a repair', () => {
  it(`${kills} times (seed ${seed})`, { timeout: kills * 20_000 }, async () => {
    await withScratch(async (scratch) => {
      const [reference = ''] = await crashImages(scratch, 1, 5, 60);
      const expected = await expectedSnapshots(path.join(scratch, 'expected'), [reference]);
      const root = path.join(scratch, 'store');
      let store = await Store.open(root);
      await store.import(reference);
      const { snapshots } = await store.verify();
      await store.close();
      const random = new Random(seed);
      const damage = async () => {
        for (const { directory, layer } of snapshots) {
          await unlink(path.join(directory, `d${layer}/link`)).catch(() => {});
        }
      };
      let typical = 400;
      const seen = { damaged: 0, mixed: 0, healed: 0 };
      for (let kill = 0; kill < kills; kill++) {
        await damage();
        const child = spawn(process.execPath, [worker, root], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        await new Promise((resolve) => child.stdout.once('data', resolve));
        const begun = performance.now();
        const ended = new Promise((resolve) => child.once('close', resolve));
        if (kill === 0) {
          await ended; // how long one takes here, undisturbed
          typical = performance.now() - begun;
        } else {
          await sleep(random.next() * typical);
          child.kill('SIGKILL');
          await ended;
        }
        store = await Store.open(root);
        const report = await store.verify();
        const damaged = report.snapshots.filter(({ findings }) => findings.length > 0);
        expect(report.snapshots).toHaveLength(snapshots.length);
        expect(report.notes).toEqual([]);
        for (const { findings } of damaged) {
          expect(findings.map(({ kind }) => kind)).toEqual(['missing-entry']);
        }
        const { length } = damaged;
        seen[length === 0 ? 'healed' : length < snapshots.length ? 'mixed' : 'damaged']++;
        expect((await store.verify({ repair: true })).ok).toBe(true);
        expect(await wrongSnapshots(store, expected)).toEqual([]);
        await store.gc();
        await store.close();
        expect((await leftovers(root)).filter((name) => !/^(snapshots|blobs)/.test(name))).toEqual(
          [],
        );
      }
      expect(seen.healed).toBeGreaterThan(0);
      if (process.env.SOAK === '1') {
        process.stdout.write(`${JSON.stringify(seen)}\n`);
      }
    });
  });
});
