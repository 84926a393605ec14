// A real containerd, filled by ctr: verify finds it clean, then finds every damage of every kind, and nothing else.
// SOAK=1: 50 damages of each kind of every image, and with CORPUS=DIRECTORY of the layouts there too.

import { access } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ContainerdStore } from '../../src/containerd/index.js';
import { verifyContainerd } from '../../src/containerd/verify.js';
import { noContainerd, withContainerd } from '../support/containerd.js';
import { expectBlobs, expectImages, expectSnapshots } from '../support/containerd-agreement.js';
import { damagedLayers } from '../support/containerd-chain.js';
import { type DamageKind, damageKinds } from '../support/damage.js';
import { damageLayers } from '../support/damage-image.js';
import { type DamagedLayer, DamageRound, roundsOf } from '../support/damage-rounds.js';
import { withScratch } from '../support/scratch.js';
import { writeImage } from '../support/write-image.js';

const soak = process.env.SOAK === '1';
const rounds = Number(process.env.ROUNDS ?? (soak ? 50 : 3));
const firstSeed = Number(process.env.SEED ?? 1);
const namespace = 'default';
const corpus = ['debian-node', 'debian-node-zstd', 'small-files', 'many-layers'];

describe.skipIf(noContainerd)(`a real containerd ${noContainerd ?? ''}`, () => {
  it('is clean, and every damage to it is found by its name', {
    timeout: soak ? 4 * 3_600_000 : 120_000,
  }, async () => {
    await withContainerd(async (daemon) => {
      await withScratch((scratch) => fill(daemon, scratch));
      const store = ContainerdStore.open(daemon.root);
      try {
        const images = (await expectImages(daemon, store, namespace)).map(({ name }) => name);
        const counts = [
          images.length,
          (await expectBlobs(daemon, store, namespace)).length,
          (await expectSnapshots(daemon, store, namespace)).length,
        ];
        say(
          `reader agrees with ctr: ${counts[0]} images, ${counts[1]} blobs, ${counts[2]} snapshots`,
        );
        const { report } = await verifyContainerd({ root: daemon.root });
        expect(report.snapshots.flatMap(({ findings }) => findings)).toEqual([]);
        expect(report.notes).toEqual([]);
        expect(report.ok).toBe(true);
        expect(report.snapshots.length).toBe(counts[2]);
        const { entries, bytes, unchecked } = report.counts;
        say(
          `clean: ${report.images.length} images, ${report.snapshots.length} snapshots, ${entries} entries, ${bytes} bytes, ${unchecked} unchecked, in ${report.milliseconds} ms`,
        );
        for (const { name: image } of await store.images(namespace)) {
          const layers = await damagedLayers(store, namespace, image);
          const done = await damageAll(daemon.root, image, layers);
          say(`${image}: ${[...done].map(([kind, n]) => `${kind} ${n}`).join(', ')}`);
          if (image.includes('damage')) {
            expect([...done.keys()].sort()).toEqual([...damageKinds].sort());
          }
        }
        const again = await verifyContainerd({ root: daemon.root });
        expect(again.report.ok).toBe(true);
      } finally {
        store.close();
      }
    });
  });
});

/** Imports the images. */
async function fill(
  daemon: Parameters<Parameters<typeof withContainerd>[0]>[0],
  scratch: string,
): Promise<void> {
  const layout = path.join(scratch, 'damage');
  await writeImage(layout, damageLayers, ['gzip', 'none']);
  const names = ['damage'];
  const layouts = [layout];
  const directory = process.env.CORPUS;
  for (const name of soak && directory !== undefined ? corpus : []) {
    const where = path.join(directory ?? '', name);
    await access(where);
    names.push(name);
    layouts.push(where);
  }
  for (const [index, name] of names.entries()) {
    await daemon.importLayout(namespace, `example.test/${name}`, layouts[index] as string);
  }
}

/** Runs the rounds; how often each kind was done and found. */
async function damageAll(
  root: string,
  image: string,
  layers: readonly DamagedLayer[],
): Promise<Map<DamageKind, number>> {
  const done = new Map<DamageKind, number>();
  const atOnce = image.includes('damage') ? 1 : 10; // it is small
  for (const { seed, kinds } of roundsOf(rounds, atOnce, firstSeed, done)) {
    const round = await DamageRound.of(layers, seed, kinds);
    try {
      const { report } = await verifyContainerd({ root, image });
      const findings = report.snapshots.flatMap((one) => one.findings);
      expect(round.compare(findings), `seed ${seed} of ${image}`).toEqual([]);
      expect(report.ok).toBe(false);
      for (const { damage } of round.damages) {
        done.set(damage.kind, (done.get(damage.kind) ?? 0) + 1);
      }
    } finally {
      await round.undo();
    }
  }
  return done;
}

function say(line: string): void {
  if (soak) {
    process.stdout.write(`${line}\n`);
  }
}
