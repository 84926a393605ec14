// What is committed stays, also when other processes open the metadata at that moment.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Database } from '../../src/metadata/index.js';
import { withScratch } from '../support/scratch.js';

const opener = path.join(import.meta.dirname, 'opening-process.mjs');
const commits = 6000;

it('loses no transaction to processes that open at that moment', { timeout: 120_000 }, async () => {
  await withScratch(async (root) => {
    const database = Database.open(root);
    const openers = [0, 1, 2, 3].map(() =>
      spawn(process.execPath, [opener, root], { stdio: ['ignore', 'pipe', 'inherit'] }),
    );
    try {
      await Promise.all(openers.map((child) => once(child.stdout, 'data')));
      for (let at = 0; at < commits; at++) {
        database.update((tx) => tx.leases.create({ id: `lease${at}` }));
        await turn();
      }
      expect(database.view((tx) => tx.leases.list())).toHaveLength(commits);
      expect(openers.map(({ exitCode }) => exitCode)).toEqual([null, null, null, null]);
    } finally {
      for (const child of openers) {
        child.kill('SIGKILL');
        await once(child, 'close');
      }
      await database.close();
    }
  });
});
