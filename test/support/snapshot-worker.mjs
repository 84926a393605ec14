// A process that uses a snapshotter, for the tests that need several, and for those that kill it: plain JavaScript on
// what `npm run setup` has built.
//
// snapshot-worker.mjs prepare ROOT KIND NAME COUNT: prepares COUNT keys of its own and tries COUNT that all workers try;
//   prints, as JSON, which of those it got.
// snapshot-worker.mjs churn ROOT KIND NAME: makes, commits, adopts, views and removes snapshots until it is killed, or
//   nobody is left to do that.

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Database } from '../../dist/metadata/index.js';
import { openSnapshotter } from '../../dist/snapshots/index.js';

const [mode, root = '', kind, name, count] = process.argv.slice(2);
const database = Database.open(root);
const snapshotter = openSnapshotter({
  root,
  database,
  kind: /** @type {import('../../dist/snapshots/index.js').SnapshotterKind} */ (kind),
});

/**
 * What every committed snapshot must hold, all of it.
 * @param {string} fs
 */
async function fill(fs) {
  await mkdir(path.join(fs, 'd'), { recursive: true });
  for (let i = 0; i < 10; i++) {
    await writeFile(path.join(fs, `d/${i}`), `content ${i}`);
  }
}

async function prepare() {
  const got = [];
  for (let i = 0; i < Number(count); i++) {
    await snapshotter.prepare(`${name}-${i}`, 'base');
    try {
      await snapshotter.prepare(`shared-${i}`, 'base');
      got.push(i);
    } catch (thrown) {
      const error = /** @type {{ code?: string }} */ (thrown);
      if (error.code !== 'ERR_STORE_EXISTS') {
        throw thrown;
      }
    }
  }
  await snapshotter.close();
  await database.close();
  console.log(JSON.stringify(got));
}

async function churn() {
  const parent = process.ppid;
  for (let i = 0; process.ppid === parent; i++) {
    const key = `${name}-${process.pid}-${i}`;
    try {
      await step(i, key);
    } catch (thrown) {
      const { code, message, stack } = /** @type {Error & { code?: string }} */ (thrown);
      // What the other workers do to what this one has just looked at.
      const expected = ['ERR_STORE_NOT_FOUND', 'ERR_STORE_IN_USE', 'ERR_STORE_BUSY'];
      if (!expected.includes(code ?? '')) {
        console.log(JSON.stringify({ code, message, stack }));
        process.exit(1);
      }
    }
    if (i === 0) {
      console.log('ready'); // and has something to lose, however busy the machine is
    }
  }
}

/**
 * @param {number} i
 * @param {string} key
 */
async function step(i, key) {
  /** @type {string[]} */
  const committed = [];
  await snapshotter.walk((info) => void committed.push(info.name), 'kind==committed');
  const some = () => committed[Math.floor(Math.random() * committed.length)];
  switch (i % 5) {
    case 0: {
      await snapshotter.prepare(key, undefined);
      await fill(path.join((await snapshotter.stat(key)).directory, 'fs'));
      await snapshotter.commit(`${key}-c`, key);
      return;
    }
    case 1: {
      const parent = some();
      const staging = await snapshotter.stage();
      try {
        if (snapshotter.flat && parent !== undefined) {
          await snapshotter.seed(staging, parent);
        }
        await fill(staging.fs);
        await writeFile(staging.treeIndex, 'index');
        await snapshotter.adopt(`${key}-c`, parent, staging);
      } finally {
        await staging.discard();
      }
      return;
    }
    case 2:
      await snapshotter.prepare(key, some());
      return;
    case 3:
      await snapshotter.view(key, some());
      await snapshotter.remove(key);
      if (committed.length > 10) {
        await snapshotter.remove(/** @type {string} */ (some()));
      }
      return;
    default:
      await snapshotter.cleanup();
      await snapshotter.sync();
  }
}

await (mode === 'prepare' ? prepare() : churn());
