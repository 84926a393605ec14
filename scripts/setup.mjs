#!/usr/bin/env node
// npm run setup: makes a fresh clone ready to run. Plain JavaScript without dependencies, since nothing is there yet.
// npm run setup -- --tests: also what the tests need.

import { script } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';

await script(() => setup({ tests: process.argv.includes('--tests'), always: true }));
