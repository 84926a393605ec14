#!/usr/bin/env node
// npm run bench:micro: sets up and runs bench/micro/micro.mjs.

import { join } from 'node:path';
import { root, runHere, script } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';

await script(async () => {
  await setup();
  return runHere(process.execPath, [join(root, 'bench/micro/micro.mjs'), ...process.argv.slice(2)]);
});
