// Compiles src/ to dist/ when it is stale.

import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
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
  const hash = hashOf([...sources, 'tsconfig.json', 'package-lock.json']);
  if (isFresh(stamp, hash) && existsSync(join(root, 'dist/index.js'))) {
    return false;
  }
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  await runQuietly('TypeScript', process.execPath, [
    tsc,
    '-p',
    'tsconfig.json',
    '--pretty',
    'false',
  ]);
  const outputs = new Set([stamp]);
  for (const source of sources) {
    const output = source.replace(/^src/, 'dist');
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
  writeStamp(stamp, hash);
  return true;
}
