// The addon's threads against the ends that a Node program can have (docs/threads.md, "Teardown").

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unpack } from '../../support/image.js';
import { scratchRoot } from '../../support/scratch.js';
import { dir, file, type TarItem } from '../../support/tar-builder.js';
import { writeImage } from '../../support/write-image.js';

let scratch: string;
let big: string;
let small: string;

/** Files that do not compress well, so that an unpack takes a while. */
function noise(seed: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = seed + 1;
  for (let at = 0; at + 4 <= size; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt32LE(state >>> 4, at);
  }
  return bytes;
}

function layer(index: number, files: number, size: number): TarItem[] {
  const own = `layer-${index}`;
  return [
    dir(own),
    ...Array.from({ length: files }, (_, n) => file(`${own}/${n}`, noise(index * 100 + n, size))),
  ];
}

beforeAll(async () => {
  scratch = await mkdtemp(path.join(scratchRoot, 'oci-unpack-lifetime-'));
  big = await writeImage(
    path.join(scratch, 'big'),
    [0, 1, 2, 3].map((index) => layer(index, 200, 100_000)),
  );
  small = await writeImage(
    path.join(scratch, 'small'),
    [0, 1].map((index) => layer(index, 20, 2_000)),
  );
});

afterAll(() => rm(scratch, { recursive: true, force: true }));

interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Runs one part of lifetime.mjs. */
async function run(part: string, ...args: string[]): Promise<Ended> {
  const work = await mkdtemp(path.join(scratch, `${part}-`));
  const [reference = big, ...rest] = args;
  const script = path.join(import.meta.dirname, 'lifetime.mjs');
  const child = spawn(process.execPath, ['--expose-gc', script, part, reference, work, ...rest]);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, ...output }));
  });
}

function ok(ended: Ended): unknown {
  expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
  return JSON.parse(ended.stdout);
}

describe('the end of an environment', () => {
  test('process.exit() in the middle of an unpack', async () => {
    const ended = await run('exit');
    expect(ended).toMatchObject({ code: 7, signal: null, stderr: '' });
  });

  test('what process.exit() left behind is completed by the next unpack', async () => {
    const work = await mkdtemp(path.join(scratch, 'again-'));
    const script = path.join(import.meta.dirname, 'lifetime.mjs');
    const child = spawn(process.execPath, [script, 'exit', big, work]);
    await new Promise((resolve) => child.on('close', resolve));
    const report = await unpack(big, path.join(work, 'exit'));
    expect(['completed', 'unpacked']).toContain(report.status);
    expect(report.layers).toHaveLength(4);
  });

  test('an unpack keeps the process alive until it is done', async () => {
    expect(ok(await run('alive'))).toEqual({ done: true });
  });

  test('worker.terminate() in the middle of an unpack, with another one beside it', async () => {
    const seen = ok(await run('terminate'));
    expect(seen).toMatchObject({ code: 1, status: 'unpacked', back: false });
    // The pool's threads and the event loop's own descriptors; none for the image that was dropped.
    expect((seen as { leaked: number }).leaked).toBeLessThanOrEqual(4);
  });

  test('two worker threads and the main thread at once', async () => {
    expect(ok(await run('together'))).toEqual({ statuses: ['unpacked', 'unpacked', 'unpacked'] });
  });
});

test('where no thread can be had, that is the error', async () => {
  expect(ok(await run('threads'))).toEqual({ message: expect.stringContaining('EAGAIN') });
});

test('1,000 unpacks, some of which fail, leave no descriptor and no memory', async () => {
  const { samples } = ok(await run('many', small, '1000')) as {
    samples: { memory: number; descriptors: number }[];
  };
  expect(samples).toHaveLength(10);
  const [early, ...later] = samples;
  for (const sample of later) {
    expect(sample.descriptors).toBe(early?.descriptors);
    // What V8 and malloc keep while they warm up ends after some 1,500 runs, at 35 MiB; a leak of one slab or
    // of one layer's tree would be far beyond.
    expect(sample.memory - (early?.memory ?? 0)).toBeLessThan(48 * 2 ** 20);
  }
}, 120_000);
