#!/usr/bin/env node
// npm test: sets up, then runs the native unit tests and vitest.
// npm test -- --native [FILTER]: only the native ones; npm test -- FILTER...: only vitest, with these arguments.

import { join } from 'node:path';
import { nativeTestsPath } from './lib/build-addon.mjs';
import { root, runHere, say, script } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';
import { testSetup } from './test-setup.mjs';

const args = process.argv.slice(2);
const native = args.length === 0 || args[0] === '--native';
const typescript = args[0] !== '--native';

await script(async () => {
  await setup({ tests: native });
  await testSetup();
  let failed = 0;
  if (native) {
    say('native tests');
    failed += await runHere(join(root, nativeTestsPath), args.slice(1));
  }
  if (typescript) {
    const vitest = join(root, 'node_modules/vitest/vitest.mjs');
    failed += await runHere(process.execPath, [vitest, 'run', ...args]);
  }
  return failed === 0 ? 0 : 1;
});
