#!/usr/bin/env node
// npm run soak: the long forms of the tests that kill and cut the power: 500 kills, 100 power losses for each file
// system. npm run soak -- kill, or -- power-loss: only those. SEED=N repeats a run. npm run soak -- faults: every call of
// the store fails in its turn, which takes hours; FAULT_SAMPLE=N takes every N-th call, from one that SEED says,
// FAULTS=PATTERN some of the scenarios, and FAULT_LOG=FILE keeps what is found.
// npm run soak -- verify, -- containerd, or -- docker: 50 damages of each kind to the own store, which are repaired, or to
// a real containerd or Docker; with CORPUS=DIR of the OCI layouts there too (but Docker).
// npm run soak -- snapshots: 300 kills of two processes each that make and remove snapshots.

import { join } from 'node:path';
import { root, runHere, script } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';
import { testSetup } from './test-setup.mjs';

const elsewhere = new Map([
  ['containerd', 'test/containerd/damage.test.ts'],
  ['docker', 'test/docker/verify.test.ts'],
  ['snapshots', 'test/snapshots/processes.test.ts'],
]);
const names = process.argv.slice(2);
const files = (names.length > 0 ? names : ['kill', 'power-loss']).map(
  (name) => elsewhere.get(name) ?? `test/store/${name}.test.ts`,
);

await script(async () => {
  await setup({ tests: false });
  await testSetup();
  process.env.SOAK = '1';
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  return runHere(process.execPath, [vitest, 'run', ...files]);
});
