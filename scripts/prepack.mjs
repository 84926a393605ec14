#!/usr/bin/env node
// Before npm pack and npm publish: everything is built, and the addon and the native part of the bench are put where
// the package has them, stripped.

import { copyFileSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { addonPath, floorPath, prebuiltFloorPath, prebuiltPath } from './lib/build-addon.mjs';
import { root, runQuietly, say, script } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';
import { checkSymbols } from './lib/symbols.mjs';

const prebuilt = [
  [addonPath, prebuiltPath],
  [floorPath, prebuiltFloorPath],
];

await script(async () => {
  await setup();
  for (const [built = '', packed = ''] of prebuilt) {
    const target = join(root, packed);
    mkdirSync(dirname(target), { recursive: true });
    const temporary = `${target}.tmp`;
    try {
      copyFileSync(join(root, built), temporary);
      await runQuietly('strip', 'strip', ['--strip-unneeded', temporary]);
      say(`${packed}: ${checkSymbols(temporary)}`);
      renameSync(temporary, target);
    } finally {
      rmSync(temporary, { force: true });
    }
  }
});
