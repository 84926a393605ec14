// Compiles src/ to dist/ when it is stale, and bundles the command.

import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bundleCommand, bundleDirectory } from './bundle-command.mjs';
import { makeCodeCache } from './code-cache.mjs';
import { root, runQuietly } from './process.mjs';
import { filesBelow, hashOf, isFresh, writeStamp } from './stamp.mjs';

const stamp = 'dist/.stamp';

/**
 * @returns {Promise<boolean>} whether anything was compiled
 */
export async function buildTypeScript() {
  if (!existsSync(join(root, 'tsconfig.json'))) {
    return false; // the packed package, which has dist/ and not src/
  }
  const sources = filesBelow(['src']);
  const builders = [
    'tsconfig.json',
    'package-lock.json',
    'scripts/lib/bundle-command.mjs',
    'scripts/lib/code-cache.mjs',
    ...filesBelow(['scripts/lib/bundled']),
  ];
  const hash = hashOf([...sources, ...builders]);
  if (isFresh(stamp, hash) && existsSync(join(root, 'dist/index.js'))) {
    return makeCodeCache(join(root, bundleDirectory)); // another Node may have built it
  }
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  await runQuietly('TypeScript', process.execPath, [
    tsc,
    '-p',
    'tsconfig.json',
    '--pretty',
    'false',
  ]);
  const outputs = new Set([stamp, ...(await bundleCommand())]);
  for (const source of sources) {
    const output = source.replace(/^src/, 'dist');
    if (output.startsWith(`${bundleDirectory}/`)) {
      continue; // is in the bundle
    }
    if (source.endsWith('.ts') && !source.endsWith('.d.ts')) {
      outputs.add(output.replace(/\.ts$/, '.js')).add(output.replace(/\.ts$/, '.d.ts'));
    } else {
      // tsc reads declarations and other files where they are, but does not emit them.
      outputs.add(output);
      mkdirSync(dirname(join(root, output)), { recursive: true });
      copyFileSync(join(root, source), join(root, output));
    }
  }
  for (const file of filesBelow(['dist'])) {
    if (!outputs.has(file)) {
      rmSync(join(root, file)); // its source is gone
    }
  }
  makeCodeCache(join(root, bundleDirectory));
  writeStamp(stamp, hash);
  return true;
}
