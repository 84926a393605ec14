#!/usr/bin/env node
// Before npm pack and npm publish: everything is built, and the addon and the native part of the bench are put where
// the package has them, stripped.

import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  addonPath,
  floorPath,
  prebuiltFloorPath,
  prebuiltLicenses,
  prebuiltPath,
} from './lib/build-addon.mjs';
import { root, runQuietly, say, script } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';
import { checkSymbols } from './lib/symbols.mjs';

const prebuilt = [
  [addonPath, prebuiltPath],
  [floorPath, prebuiltFloorPath],
];

/** What is linked into the addon, and where its license is. */
const linked = [
  ['LMDB', join(root, 'node_modules/lmdb/dependencies/lmdb-data-v1/libraries/liblmdb/COPYRIGHT')],
  ['LMDB', join(root, 'node_modules/lmdb/dependencies/lmdb-data-v1/libraries/liblmdb/LICENSE')],
  ['libzstd', '/usr/share/doc/libzstd-dev/copyright'],
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
  const texts = linked.map(([name, file = '']) => `${name}:\n\n${readFileSync(file, 'utf8')}`);
  writeFileSync(join(root, prebuiltLicenses), texts.join('\n'));
});
