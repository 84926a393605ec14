#!/usr/bin/env node
// Before npm pack and npm publish: everything is built, and the addon put where the package has it, stripped.

import { copyFileSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { addonPath, prebuiltPath } from './lib/build-addon.mjs';
import { root, runQuietly, say, script } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';
import { checkSymbols } from './lib/symbols.mjs';

await script(async () => {
  await setup();
  const target = join(root, prebuiltPath);
  mkdirSync(dirname(target), { recursive: true });
  const temporary = `${target}.tmp`;
  try {
    copyFileSync(join(root, addonPath), temporary);
    await runQuietly('strip', 'strip', ['--strip-unneeded', temporary]);
    say(`${prebuiltPath}: ${checkSymbols(temporary)}`);
    renameSync(temporary, target);
  } finally {
    rmSync(temporary, { force: true });
  }
});
