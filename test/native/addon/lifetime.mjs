// One part of lifetime.test.ts, in a process of its own: node lifetime.mjs PART REFERENCE SCRATCH. Prints what it saw as
// JSON; runs in the worker threads that it starts too.
// @ts-nocheck: plain JavaScript, whose calls are checked by running them.

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { examineHost, unpackImage } from '../../../dist/index.js';

const platform = 'linux/amd64';
const script = fileURLToPath(import.meta.url);

/** Resolves when an unpack has written something and goes on. */
function started(reference, destination) {
  const progress = Promise.withResolvers?.() ?? withResolvers();
  const done = unpackImage(reference, destination, {
    platform,
    onProgress: ({ bytesOut }) => {
      if (bytesOut > 0) {
        progress.resolve();
      }
    },
  });
  done.catch(progress.reject);
  return { done, running: progress.promise };
}

function withResolvers() {
  let resolve;
  let reject;
  const promise = new Promise((ok, fail) => {
    resolve = ok;
    reject = fail;
  });
  return { promise, resolve, reject };
}

function memory() {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)[1]) * 1024;
}

function descriptors() {
  return readdirSync('/proc/self/fd').length;
}

function workerFor(data) {
  const worker = new Worker(script, { workerData: data });
  const said = new Promise((resolve, reject) => {
    worker.once('message', resolve).once('error', reject);
  });
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  return { worker, said, ended };
}

const parts = {
  /** process.exit() while all threads are at work. */
  async exit(reference, scratch) {
    await started(reference, path.join(scratch, 'exit')).running;
    process.exit(7);
  },

  /** No more threads can be had, once there were some. */
  async threads(_reference, scratch) {
    await examineHost(scratch);
    if (process.getuid() === 0) {
      process.setuid(54_321); // the limit is not root's
    }
    execFileSync('prlimit', ['--nproc=1', '--pid', String(process.pid)]);
    const message = await examineHost(scratch).catch((error) => error.message);
    console.log(JSON.stringify({ message }));
  },

  /** The event loop is empty but for the unpack: it goes on to its end. */
  async alive(reference, scratch) {
    unpackImage(reference, path.join(scratch, 'alive'), { platform }).then(() => {
      console.log(JSON.stringify({ done: true }));
    });
  },

  /** worker.terminate() while its unpack runs; the main thread's own goes on. */
  async terminate(reference, scratch) {
    const before = descriptors();
    const own = started(reference, path.join(scratch, 'own'));
    const other = workerFor({
      reference,
      destination: path.join(scratch, 'other'),
      tell: 'running',
    });
    await Promise.all([own.running, other.said]);
    const code = await other.worker.terminate();
    const { status } = await own.done;
    // Nothing of the terminated one writes any more: its directory can be removed and stays away.
    await rm(path.join(scratch, 'other'), { recursive: true, force: true });
    await new Promise((resolve) => setTimeout(resolve, 200));
    console.log(
      JSON.stringify({
        code,
        status,
        back: existsSync(path.join(scratch, 'other')),
        leaked: descriptors() - before,
      }),
    );
  },

  /** Two worker threads and the main thread at once. */
  async together(reference, scratch) {
    const workers = ['a', 'b'].map((name) =>
      workerFor({ reference, destination: path.join(scratch, name), tell: 'status' }),
    );
    const own = await unpackImage(reference, path.join(scratch, 'c'), { platform });
    const said = await Promise.all(workers.map((worker) => worker.said));
    await Promise.all(workers.map((worker) => worker.ended));
    console.log(JSON.stringify({ statuses: [...said, own.status] }));
  },

  /** Many unpacks one after the other, some of which fail or are cancelled. */
  async many(reference, scratch, count) {
    const samples = [];
    for (let run = 1; run <= Number(count); run++) {
      const directory = await mkdtemp(path.join(scratch, 'run-'));
      const abort = new AbortController();
      if (run % 10 === 3) {
        setImmediate(() => abort.abort());
      }
      const limits = run % 10 === 7 ? { maxEntries: 1 } : {};
      await unpackImage(reference, path.join(directory, 'dest'), {
        platform,
        limits,
        signal: abort.signal,
      }).catch(() => undefined);
      rmSync(directory, { recursive: true, force: true });
      if (run % (Number(count) / 10) === 0) {
        globalThis.gc();
        await new Promise((resolve) => setImmediate(resolve));
        samples.push({ memory: memory(), descriptors: descriptors() });
      }
    }
    console.log(JSON.stringify({ samples }));
  },
};

if (isMainThread) {
  const [part, ...args] = process.argv.slice(2);
  await parts[part](...args);
} else {
  const { reference, destination, tell } = workerData;
  const { done, running } = started(reference, destination);
  if (tell === 'running') {
    await running;
    parentPort.postMessage('running');
  }
  const { status } = await done;
  parentPort.postMessage(status);
}
