#!/usr/bin/env node
// npm run lint: Biome over TypeScript, JavaScript and JSON, clang-format over C++. With --write both put right what they can.
// --only biome, --only clang-format: one of the two.

import { join } from 'node:path';
import { installPackages } from './lib/debian-packages.mjs';
import { installNodeModules } from './lib/node-modules.mjs';
import { root, runHere, say, script, which } from './lib/process.mjs';
import { filesBelow } from './lib/stamp.mjs';

const write = process.argv.includes('--write');
const only = process.argv.includes('--only') ? process.argv.at(-1) : undefined;

async function biome() {
  await installNodeModules();
  const check = ['check', '--error-on-warnings', ...(write ? ['--write'] : []), '.'];
  return runHere(process.execPath, [join(root, 'node_modules/@biomejs/biome/bin/biome'), ...check]);
}

async function clangFormat() {
  if (!which('clang-format')) {
    await installPackages('to check the format of C++', ['clang-format']);
  }
  const files = filesBelow(['native', 'test', 'bench']).filter((file) => /\.(cc|h)$/.test(file));
  const code = await runHere('clang-format', [
    ...(write ? ['-i'] : ['--dry-run', '--Werror']),
    ...files,
  ]);
  if (code === 0) {
    say(`clang-format: ${files.length} files, all well`);
  }
  return code;
}

await script(async () => {
  let failed = 0;
  failed += only === 'clang-format' ? 0 : await biome();
  failed += only === 'biome' ? 0 : await clangFormat();
  return failed === 0 ? 0 : 1;
});
