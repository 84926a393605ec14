// Power loss: the disk of a store is copied at random moments, without a sync, and the copy is mounted: the file system
// recovers as after a power cut. No snapshot that is marked durable may have a wrong byte, and none that
// is not may be served. `npm run soak` does it 100 times for each file system.

import { execFileSync } from 'node:child_process';
import { mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Store } from '../../src/index.js';
import { withScratch } from '../support/scratch.js';
import {
  crashImages,
  expectedSnapshots,
  randomNumbers,
  snapshotsOf,
  soak,
  startImporter,
  wrongSnapshots,
} from './crash.js';

const copies = soak ? 100 : 4;
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
const kinds = { ext4: ['-q', '-F'], xfs: ['-q', '-f'] } as const;

const missing = whyNot();

describe.skipIf(missing !== undefined)('power loss', () => {
  for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) {
    it(`${copies} times on ${kind} (seed ${seed})`, { timeout: copies * 60_000 }, async () => {
      await withScratch(async (scratch) => {
        const references = await crashImages(scratch, 6, 4, 25);
        const expected = await expectedSnapshots(path.join(scratch, 'expected'), references);
        // On a file system that clones files: a clone is of one moment, which a copy is not.
        await withDisk(path.join(scratch, 'outer.img'), 'xfs', 4, async (outer) => {
          const random = randomNumbers(seed);
          const seen = { durable: 0, lost: 0, none: 0 };
          const disk = path.join(outer, 'disk.img');
          for (let copy = 0; copy < copies; ) {
            await withDisk(disk, kind, 1, async (mounted) => {
              const importer = startImporter(path.join(mounted, 'store'), 'background', references);
              await importer.begun;
              for (let more = 0; more < 4 && copy < copies; more++, copy++) {
                await sleep(random() * 250);
                const clone = path.join(outer, 'clone.img');
                execFileSync('cp', ['--reflink=always', disk, clone]);
                await withMounted(clone, kind, (at) =>
                  checkCopy(path.join(at, 'store'), references, expected, seen),
                );
                await rm(clone);
              }
              importer.process.kill('SIGKILL');
              await importer.ended;
            });
            await rm(disk);
          }
          console.log(`${kind}: snapshots found ${JSON.stringify(seen)} in ${copies} copies`);
        });
      });
    });
  }
});

if (missing !== undefined) {
  console.log(`power loss: not tested, ${missing}`);
}

async function checkCopy(
  root: string,
  references: readonly string[],
  expected: ReadonlyMap<string, string>,
  seen: { durable: number; lost: number; none: number },
): Promise<void> {
  const store = await Store.open(root, { durability: 'none' });
  try {
    const committed = (await snapshotsOf(store)).filter(({ kind }) => kind === 'committed');
    // Whatever was not synced is not to be had.
    expect(committed.filter(({ durability }) => durability === 'unsynced')).toEqual([]);
    expect(await wrongSnapshots(store, expected)).toEqual([]);
    for (const { name, durability } of committed) {
      seen[durability === 'durable' ? 'durable' : 'lost']++;
      if (durability === 'lost') {
        await expect(store.snapshots.view('test', name)).rejects.toMatchObject({
          code: 'ERR_SNAPSHOT_LOST',
        });
      }
    }
    if (committed.length === 0) {
      seen.none++;
    }
    // Blobs that are named are whole, and unpack again where a snapshot was lost.
    for (const { name } of store.images.list()) {
      await store.unpack(name);
    }
    for (const reference of references.slice(0, 2)) {
      await store.import(reference);
    }
    expect(await wrongSnapshots(store, expected)).toEqual([]);
  } finally {
    await store.close();
  }
}

/** A new file system in `image`, mounted. */
async function withDisk(
  image: string,
  kind: keyof typeof kinds,
  gigabytes: number,
  work: (mounted: string) => Promise<void>,
): Promise<void> {
  await writeFile(image, '');
  await truncate(image, gigabytes * 2 ** 30);
  execFileSync(`mkfs.${kind}`, [...kinds[kind], image], { stdio: 'ignore' });
  await withMounted(image, kind, work);
}

async function withMounted(
  image: string,
  kind: keyof typeof kinds,
  work: (mounted: string) => Promise<void>,
): Promise<void> {
  const target = `${image}.mnt`;
  await mkdir(target, { recursive: true });
  // A copy of an XFS has the UUID of the one that is mounted.
  const options = kind === 'xfs' ? 'loop,nouuid' : 'loop';
  execFileSync('mount', ['-t', kind, '-o', options, image, target]);
  try {
    await work(target);
  } finally {
    await unmount(target);
    await rm(target, { recursive: true });
  }
}

/** The killed process may take a moment to let go of it. */
async function unmount(target: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      execFileSync('umount', [target], { stdio: 'pipe' });
      return;
    } catch (error) {
      if (tries > 20) {
        throw error;
      }
      await sleep(100);
    }
  }
}

function whyNot(): string | undefined {
  if (process.geteuid?.() !== 0) {
    return 'it takes root to mount';
  }
  try {
    execFileSync('mkfs.xfs', ['-V'], { stdio: 'ignore' });
    execFileSync('mkfs.ext4', ['-V'], { stdio: 'ignore' });
    execFileSync('losetup', ['-f'], { stdio: 'ignore' });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
