// Real processes on one database: several writers at once, and writers that are killed in the middle.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Database } from '../../src/metadata/index.js';
import { Random } from '../support/random.js';
import { withScratch } from '../support/scratch.js';

const program = path.join(import.meta.dirname, 'writer-process.mjs');

interface Writer {
  process: ChildProcess;
  /** The last thing that it said it had committed. */
  last(): number;
  ended: Promise<unknown>;
}

function start(root: string, mode: string, count: number): Writer {
  const child = spawn(process.execPath, [program, root, mode, String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout?.on('data', (chunk) => {
    output += chunk;
  });
  return {
    process: child,
    last: () => Number(output.slice(0, output.lastIndexOf('\n')).split('\n').at(-1) || 0),
    ended: once(child, 'close'),
  };
}

/** Checks that all records are of one generation, and gives it. */
function generationOf(database: Database): number {
  return database.view((tx) => {
    const images = tx.images.list();
    if (images.length === 0) {
      return 0;
    }
    expect(images.length).toBe(20);
    const generations = new Set(images.map((image) => image.labels.generation));
    expect(generations.size).toBe(1);
    expect(new Set(images.map((image) => image.labels.by)).size).toBe(1);
    const generation = [...generations][0];
    const store = tx.snapshots('native');
    expect(store.keys()).toEqual([0, 1, 2, 3].map((n) => `${generation}-${n}`));
    expect(store.chain(`${generation}-3`).length).toBe(4);
    for (const n of [0, 1, 2, 3]) {
      const above = n === 3 ? [] : [`${generation}-${n + 1}`];
      expect(store.children(`${generation}-${n}`)).toEqual(above);
    }
    return Number(generation);
  });
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('several processes', () => {
  it(
    'a killed writer loses nothing that it committed and leaves nothing half, 20 times',
    () =>
      withScratch(async (root) => {
        const random = new Random(5);
        const database = Database.open(root);
        let before = 0;
        let grown = 0;
        for (let round = 0; round < 20; round++) {
          const writers = Array.from({ length: 1 + (round % 2) }, () =>
            start(root, 'generations', 1_000_000),
          );
          while (writers.some((writer) => writer.last() === 0)) {
            await sleep(5);
          }
          await sleep(random.below(30));
          for (const writer of writers) {
            writer.process.kill('SIGKILL');
            await sleep(random.below(3));
          }
          await Promise.all(writers.map((writer) => writer.ended));
          const generation = generationOf(database);
          expect(generation).toBeGreaterThanOrEqual(Math.max(...writers.map((one) => one.last())));
          const fresh = Database.open(root, { readOnly: true });
          expect(generationOf(fresh)).toBe(generation);
          await fresh.close();
          grown += generation - before;
          before = generation;
          // The lock of the dead is not in the way.
          database.update((tx) => tx.leases.create({ id: `round-${round}` }));
        }
        expect(grown).toBeGreaterThan(20);
        expect(database.view((tx) => tx.leases.list()).length).toBe(20);
        await database.close();
      }),
    120_000,
  );

  it(
    'write one after the other, and readers see whole states',
    () =>
      withScratch(async (root) => {
        const database = Database.open(root);
        const writers = Array.from({ length: 4 }, () => start(root, 'counter', 150));
        let running = true;
        const ended = Promise.all(writers.map((writer) => writer.ended)).then(() => {
          running = false;
        });
        let seen = 0;
        while (running) {
          const { value, leases } = database.view((tx) => ({
            value: Number(tx.images.find('counter')?.labels.value ?? 0),
            leases: tx.leases.list().length,
          }));
          expect(leases).toBe(value);
          expect(value).toBeGreaterThanOrEqual(seen);
          seen = value;
          await sleep(1);
        }
        await ended;
        expect(database.view((tx) => tx.images.get('counter').labels.value)).toBe('600');
        await database.close();
      }),
    60_000,
  );
});
