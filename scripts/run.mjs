#!/usr/bin/env node
// npm run demo, npm run bench: sets up and runs that command of oci-unpack.

import { join } from 'node:path';
import { root, runHere, script } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';

await script(async () => {
  await setup();
  return runHere(process.execPath, [join(root, 'dist/cli/main.js'), ...process.argv.slice(2)], {
    cwd: process.env.INIT_CWD ?? process.cwd(),
  });
});
