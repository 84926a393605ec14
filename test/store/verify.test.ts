// The own store: verify finds it clean, then every damage of every kind and nothing else, and repair brings the truth
// back. SOAK=1: 50 damages of each kind of every image, and with CORPUS=DIRECTORY of the layouts there too.

import { access, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Mount, Store } from '../../src/index.js';
import { runCommand } from '../support/command.js';
import { type DamageKind, Damager, damageKinds } from '../support/damage.js';
import { damageLayers } from '../support/damage-image.js';
import { type DamagedLayer, DamageRound, roundsOf } from '../support/damage-rounds.js';
import { withMount } from '../support/mount.js';
import { withScratch } from '../support/scratch.js';
import { compareTrees, type Tree } from '../support/tree.js';
import { dumpTree } from '../support/tree-dump.js';
import { writeImage } from '../support/write-image.js';

const soak = process.env.SOAK === '1';
const rounds = Number(process.env.ROUNDS ?? (soak ? 50 : 3));
const firstSeed = Number(process.env.SEED ?? 1);
const corpus = process.env.CORPUS;

describe.skipIf(process.geteuid?.() !== 0)('a store', () => {
  it('is clean; every damage is found by its name, and repaired', {
    timeout: soak ? 4 * 3_600_000 : 120_000,
  }, async () => {
    await withScratch(async (scratch) => {
      const layouts = new Map([['damage', path.join(scratch, 'layout')]]);
      await writeImage(path.join(scratch, 'layout'), damageLayers, ['gzip', 'none']);
      for (const name of soak && corpus ? ['debian-node', 'small-files', 'many-layers'] : []) {
        const layout = path.join(corpus ?? '', name);
        await access(layout).then(
          () => layouts.set(name, layout),
          () => {},
        );
      }
      for (const [name, layout] of layouts) {
        const root = path.join(scratch, `store-${name}`);
        const store = await Store.open(root);
        try {
          const { snapshot } = await store.import(`oci:${layout}`, { name });
          for (const deep of [false, true]) {
            const { ok, snapshots, notes } = await store.verify({ images: [name], deep });
            expect({ ok, findings: snapshots.flatMap((one) => one.findings), notes }).toEqual({
              ok: true,
              findings: [],
              notes: [],
            });
          }
          const truth = await merged(store, snapshot, scratch);
          const done = new Map<DamageKind, number>();
          const layers = await layersOf(store); // a repaired layer is at the same path
          const small = name === 'damage';
          const compare = async (when: string) => {
            const differences = compareTrees(truth, await merged(store, snapshot, scratch));
            expect(differences, `${when} of ${name}`).toEqual([]);
          };
          for (const { seed, kinds } of roundsOf(rounds, small ? 1 : 10, firstSeed, done)) {
            await oneRound(store, name, layers, seed, kinds, done);
            if (small || seed % 5 === 0) {
              await compare(`up to seed ${seed}`); // of the big ones it takes longer than all the rest
            }
          }
          await compare('after all');
          if (name === 'damage') {
            expect([...done.keys()].sort()).toEqual([...damageKinds].sort());
          }
          if (soak) {
            process.stdout.write(
              `${name}: ${[...done].map(([kind, count]) => `${kind} ${count}`).join(', ')}\n`,
            );
          }
        } finally {
          await store.close();
        }
      }
    });
  });

  it('is verified and repaired by the command', async () => {
    await withScratch(async (scratch) => {
      const layout = path.join(scratch, 'layout');
      const reference = await writeImage(layout, damageLayers, ['gzip']);
      const options = ['--root', path.join(scratch, 'store')];
      expect(await runCommand(['import', reference, '-q', ...options])).toMatchObject({ code: 0 });
      expect(await runCommand(['verify', '--all', ...options])).toMatchObject({ code: 0 });
      const store = await Store.open(path.join(scratch, 'store'));
      const [layer] = await layersOf(store);
      await DamageRound.of([layer as DamagedLayer], 1, ['missing-entry']);
      await store.close();
      const { code, stdout } = await runCommand(['verify', ...options]);
      expect({ code, stdout }).toMatchObject({
        code: 1,
        stdout: expect.stringContaining('missing-entry'),
      });
      const dry = await runCommand(['verify', '--repair', '--dry-run', ...options]);
      expect(dry).toMatchObject({ code: 1, stdout: expect.stringContaining('planned') });
      const healed = await runCommand(['verify', '--repair', ...options]);
      expect(healed).toMatchObject({ code: 0, stdout: expect.stringContaining('repaired') });
      const json = await runCommand(['verify', '--deep', '--json', ...options]);
      expect(JSON.parse(json.stdout)).toMatchObject({ version: 1, ok: true, kind: 'oci-unpack' });
      expect(await runCommand(['verify', '--dry-run', ...options])).toMatchObject({ code: 2 });
    });
  });

  it('is not repaired under a live mount', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), damageLayers, ['gzip']);
      const store = await Store.open(path.join(scratch, 'store'));
      try {
        const { snapshot } = await store.import(reference, { name: 'damage' });
        await DamageRound.of((await layersOf(store)).slice(0, 1), 1, ['missing-entry']);
        const [mount] = await store.snapshots.view('look', snapshot);
        const target = path.join(scratch, 'merged');
        await mkdir(target);
        await withMount(mount as Mount, target, async () => {
          const { ok, repairs } = await store.verify({ repair: true });
          expect(ok).toBe(false);
          expect(repairs).toMatchObject([{ status: 'impossible', code: 'ERR_SNAPSHOT_MOUNTED' }]);
        });
        expect((await store.verify({ repair: true })).ok).toBe(true);
      } finally {
        await store.close();
      }
    });
  });
});

/** Damages, finds, repairs. */
async function oneRound(
  store: Store,
  name: string,
  layers: readonly DamagedLayer[],
  seed: number,
  kinds: readonly DamageKind[],
  done: Map<DamageKind, number>,
): Promise<void> {
  const round = await DamageRound.of(layers, seed, kinds);
  const found = await store.verify({ images: [name] });
  const findings = found.snapshots.flatMap((one) => one.findings);
  expect(round.compare(findings), `seed ${seed} of ${name}`).toEqual([]);
  expect(found.ok).toBe(false);
  const repaired = await store.verify({ images: [name], repair: true });
  expect({ ok: repaired.ok, notes: repaired.notes }).toEqual({ ok: true, notes: [] });
  expect((await store.verify({ images: [name] })).ok).toBe(true);
  for (const { damage } of round.damages) {
    done.set(damage.kind, (done.get(damage.kind) ?? 0) + 1);
  }
}

/** The committed layers, bottom first. */
async function layersOf(store: Store): Promise<DamagedLayer[]> {
  const { snapshots } = await store.verify();
  return Promise.all(
    snapshots.map(async ({ directory }) => ({
      directory,
      damager: await Damager.of(directory, { format: 'overlay' }),
    })),
  );
}

async function merged(store: Store, snapshot: string, scratch: string): Promise<Tree> {
  const target = path.join(scratch, 'merged');
  await mkdir(target, { recursive: true });
  const [mount] = await store.snapshots.view('look', snapshot);
  try {
    return await withMount(mount as Mount, target, () => dumpTree(target));
  } finally {
    await store.snapshots.remove('look');
  }
}
