#!/usr/bin/env node
// Times a big store (make-big-store.mjs): node scripts/bench-store.mjs [ROOT]. Each figure is of a process of its own,
// which opens the store; the median of five. Without ROOT a store of 10,000 images is made and removed.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeBigStore } from './make-big-store.mjs';

const runs = 5;
const tasks = {
  'open and list images': `(await import(dist)).Database.open(root, { readOnly: true }).view((tx) => tx.images.list()).length`,
  'open and gc --dry-run': `(m => m.gc(m.Database.open(root), { dryRun: true }).content.length)(await import(dist))`,
  'open and list snapshots': `(await import(dist)).Database.open(root, { readOnly: true }).view((tx) => tx.snapshots('overlayfs').list()).length`,
  'open and why of a blob': `(m => m.why(m.Database.open(root), { type: 'content', id: 'sha256:8d0f3b0ac6d3a7f5a5b3a8b5f4d8ab0c5a9a4cf3b8cf6f2b0a3a2fdc6df1cd3e' }).length)(await import(dist))`,
};

const given = process.argv[2];
const root = given ?? mkdtempSync(join(tmpdir(), 'oci-unpack-big-store-'));
try {
  if (given === undefined) {
    await makeBigStore(root);
  }
  console.log(`${(statSync(join(root, 'metadata/data.mdb')).size / 2 ** 20).toFixed(1)} MiB`);
  for (const [name, task] of Object.entries(tasks)) {
    const times = Array.from({ length: runs }, () => run(task)).sort((a, b) => a.inside - b.inside);
    const { inside, whole, result } = times[runs >> 1] ?? { inside: 0, whole: 0, result: 0 };
    console.log(
      `${name}: ${inside.toFixed(0)} ms (${whole.toFixed(0)} ms with the start of Node); result ${result}`,
    );
  }
} finally {
  if (given === undefined) {
    rmSync(root, { recursive: true });
  }
}

/** @param {string} task */
function run(task) {
  const dist = new URL('../dist/metadata/index.js', import.meta.url).href;
  const program = `const start = performance.now();
    const [root, dist] = process.argv.slice(1);
    const result = ${task};
    console.log(JSON.stringify({ inside: performance.now() - start, result }));`;
  const started = performance.now();
  const args = ['--input-type=module', '-e', program, root, dist];
  const output = execFileSync(process.execPath, args, { encoding: 'utf8' });
  return { ...JSON.parse(output), whole: performance.now() - started };
}
