// Does what the test tells it with a store, with fault-shim.c preloaded, and tells what came of it. One message, one
// operation; after a failed one the same again without a fault.

import { openSync, readdirSync, readFileSync, readlinkSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Store, UnpackError } from '../../dist/index.js';

const { FAULT_STATE = '', FAULT_ROOT = '' } = process.env;
const state = openSync(FAULT_STATE, 'r+');

/** @type {Record<string, (store: Store, image: string) => Promise<unknown>>} */
const operations = {
  open: async () => {},
  import: (store, image) => store.import(image),
  unpack: (store) => store.unpack('image:latest'),
  create: (store) => store.containers.create('image:latest', { id: 'box' }),
  'remove container': (store) => store.containers.remove('box'),
  'remove image': async (store) => {
    for (const { name } of store.images.list()) {
      store.images.remove(name);
    }
    await store.gc();
  },
  ingest: (store) =>
    store.content.ingest('a ref', [Buffer.alloc(9000, 'one'), Buffer.alloc(9000, 'two')]),
  resume: async (store, image) => {
    const file = path.join(image.slice('oci:'.length).replace(/:[^:]*$/, ''), 'index.json');
    await store.content.ingestFile('half', { path: file });
  },
  commit: async (store) => {
    /** @type {string[]} */
    const names = [];
    await store.snapshots.walk(({ name }) => {
      names.push(name);
    });
    if (names.includes('an active one')) {
      await store.snapshots.usage('an active one');
      await store.snapshots.commit('a committed one', 'an active one');
    }
    await store.sync();
  },
  list: async (store) => {
    for (const { digest } of store.content.list()) {
      await store.content.path(digest);
    }
    await store.content.ingests();
    await store.images.inspect('image:latest');
    await store.snapshots.walk(() => {});
    await store.gc({ dryRun: true });
  },
};

/** @type {unknown[]} */
let stray = [];
process.on('unhandledRejection', (error) => stray.push(error));
process.on('uncaughtException', (error) => stray.push(error));

process.on('message', async (message) => {
  const task = /** @type {import('./faults.js').FaultTask} */ (message);
  const before = descriptors();
  stray = [];
  arm(task);
  const error = await attempt(task, () => process.send?.('opened'));
  const { count, hits } = disarm();
  await sleep(1); // strays come with a turn of the loop
  const left = descriptors().filter((one) => !before.includes(one));
  const again = error && task.kind !== 0 ? await attempt(task) : undefined;
  const report = { error, again, left, stray: stray.map(describe), count, hits };
  process.send?.(report);
});

/**
 * @param {import('./faults.js').FaultTask} task
 * @param {() => unknown} onOpen
 */
async function attempt(task, onOpen = () => {}) {
  try {
    const { snapshotter: kind, durability } = task;
    const store = await Store.open(task.root, { kind, durability });
    onOpen();
    try {
      await operations[task.operation]?.(store, task.image);
    } finally {
      await store.close();
    }
  } catch (error) {
    return describe(error);
  }
  return undefined;
}

/** @param {unknown} error */
function describe(error) {
  const { code, errno, stack = '', cause } = /** @type {UnpackError} */ (error);
  const deep = cause instanceof Error ? `\n  cause: ${cause.stack}` : '';
  return { typed: error instanceof UnpackError, code, errno, text: `${stack || error}${deep}` };
}

/** Descriptors of what is below the root. */
function descriptors() {
  return readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${name}`);
      return target.startsWith(FAULT_ROOT) || /inode|pipe|socket/.test(target)
        ? [`${name} ${target}`]
        : [];
    } catch {
      return [];
    }
  });
}

/** @param {import('./faults.js').FaultTask} task */
function arm({ kind, error, at, sticky }) {
  const bytes = Buffer.alloc(712);
  bytes.writeInt32LE(error, 4);
  bytes.writeBigInt64LE(BigInt(at), 8);
  bytes.writeBigInt64LE(sticky ? 1n : 0n, 16);
  writeSync(state, bytes, 0, bytes.length, 0);
  bytes.writeInt32LE(kind, 0); // the last: all else is there by then
  writeSync(state, bytes, 0, 4, 0);
}

function disarm() {
  writeSync(state, Buffer.alloc(4), 0, 4, 0);
  const bytes = Buffer.alloc(712);
  readSync(state, bytes, 0, bytes.length, 0);
  return { count: Number(bytes.readBigInt64LE(24)), hits: Number(bytes.readBigInt64LE(32)) };
}

readFileSync('/proc/self/maps'); // nothing is opened for the first time later
process.send?.('ready');
