// Several processes on one store, and processes that are killed at any moment: real ones. `npm run soak -- snapshots` does
// it ten times as often.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { SnapshotterKind } from '../../src/snapshots/index.js';
import { snapshotterRoot } from '../../src/snapshots/index.js';
import { withScratch } from '../support/scratch.js';
import { type TestStore, withStore, withStoreAt } from '../support/snapshots.js';

const soak = process.env.SOAK === '1';
const worker = fileURLToPath(new URL('../support/snapshot-worker.mjs', import.meta.url));

interface Worker {
  /** The first line that it prints. */
  ready: Promise<string>;
  kill(): void;
  /** All that it printed; rejects when it failed by itself. */
  ended: Promise<string>;
}

function start(...args: string[]): Worker {
  const child = spawn(process.execPath, [worker, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const output = createInterface({ input: child.stdout });
  output.on('line', (line) => lines.push(line));
  const ended = once(child, 'close').then(([code, signal]) => {
    if (code !== 0 && signal !== 'SIGKILL') {
      throw new Error(`the worker ended with ${code ?? signal}: ${lines.join('\n')}\n${errors}`);
    }
    return lines.join('\n');
  });
  ended.catch(() => {});
  const ready = Promise.race([once(output, 'line').then(([line]) => line as string), ended]);
  return { ready, ended, kill: () => child.kill('SIGKILL') };
}

const contents = Array.from({ length: 10 }, (_, i) => `content ${i}`);

/** Every record has all of its files, every directory its record, and nobody else's staging is left. */
async function checkWhole({ snapshotter, root }: TestStore, kind: SnapshotterKind): Promise<void> {
  const own = snapshotterRoot(root, kind);
  const found: string[] = [];
  await snapshotter.walk(async (info) => {
    found.push(path.basename(info.directory));
    expect((await stat(path.join(info.directory, 'fs'))).isDirectory()).toBe(true);
    if (info.kind === 'active' && kind === 'overlayfs') {
      expect((await stat(path.join(info.directory, 'work'))).isDirectory()).toBe(true);
    }
    if (info.kind === 'committed' && info.name !== 'base') {
      const files = contents.map((_, i) => path.join(info.directory, `fs/d/${i}`));
      expect(await Promise.all(files.map((file) => readFile(file, 'utf8')))).toEqual(contents);
    }
  });
  expect((await readdir(path.join(own, 'snapshots'))).sort()).toEqual(found.sort());
  expect(await readdir(path.join(own, 'staging'))).toHaveLength(1);
}

test.each(['overlayfs', 'native'] as const)(
  '%s: prepares in four processes at once',
  async (kind) => {
    await withStore(kind, async (store) => {
      const { snapshotter, root } = store;
      await snapshotter.prepare('tmp', '');
      await snapshotter.commit('base', 'tmp');
      const workers = [0, 1, 2, 3].map((n) => start('prepare', root, kind, `own${n}`, '25'));
      const got = await Promise.all(workers.map(async ({ ended }) => JSON.parse(await ended)));
      expect(got.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 25 }, (_, i) => i));
      const names = new Set<string>();
      const directories = new Set<string>();
      await snapshotter.walk((info) => {
        names.add(info.name);
        directories.add(info.directory);
      }, 'kind==active');
      expect(names.size).toBe(125);
      expect(directories.size).toBe(125);
      await snapshotter.cleanup();
      await checkWhole(store, kind);
    });
  },
);

describe('kill -9 at any moment', () => {
  test.each([
    ['overlayfs', soak ? 200 : 20],
    ['native', soak ? 100 : 10],
  ] as const)(
    '%s: leaves whole snapshots and what cleanup takes, %d times',
    async (kind, rounds) => {
      await withScratch(async (root) => {
        let swept = 0;
        for (let round = 0; round < rounds; round++) {
          const workers = [0, 1].map((n) => start('churn', root, kind, `w${round}-${n}`));
          await Promise.all(workers.map(({ ready }) => ready));
          for (const { kill } of workers) {
            await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
            kill();
          }
          await Promise.all(workers.map(({ ended }) => ended));
          await withStoreAt(root, kind, root, async (store) => {
            const report = await store.snapshotter.cleanup();
            expect(report.failures).toEqual([]);
            swept += report.orphans + report.sessions;
            await checkWhole(store, kind);
          });
        }
        expect(swept).toBeGreaterThanOrEqual(rounds); // of each round what the last to be killed had in work
        await withStoreAt(root, kind, root, async (store) => {
          const { snapshotter } = store;
          for (;;) {
            const names: string[] = [];
            await snapshotter.walk(({ name }) => void names.push(name));
            if (names.length === 0) {
              break;
            }
            for (const name of names) {
              await snapshotter.remove(name).catch((error: { code?: string }) => {
                expect(error.code).toBe('ERR_STORE_IN_USE');
              });
            }
          }
          await checkWhole(store, kind);
        });
      });
    },
    soak ? 1_800_000 : 180_000,
  );
});
