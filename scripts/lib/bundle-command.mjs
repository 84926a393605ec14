// Bundles the command into few files in dist/cli/, with commander: a hundred small ones take longer to load than a long
// list takes to print. The library in dist/ is not bundled; the command has its own copy of the modules that it uses.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './process.mjs';

/** Where the bundle is, below the package. */
export const bundleDirectory = 'dist/cli';
/** A dependency that is a part of the bundle; all others are loaded from node_modules. */
const bundled = 'commander';
const licenses = 'licenses.txt';

/**
 * Files of their own: these modules and what they import, without what is in an earlier one. How the rest is put together,
 * by which commands load it, is the bundler's.
 */
const groups = [
  {
    name: 'command',
    test: /\/src\/(cli\/(program|arguments|warnings-summary)|native\/index|oci\/(digest|reference))\.ts$/,
  },
  { name: 'store', test: /\/src\/(cli\/store\/images|store\/store)\.ts$/ },
  { name: 'unpack', test: /\/src\/cli\/commands\/unpack\.ts$/ },
];

/**
 * @returns {Promise<string[]>} the files that were written, relative to the package
 */
export async function bundleCommand() {
  const { rolldown } = await import('rolldown'); // not there before npm ci
  const bundle = await rolldown({
    input: { main: join(root, 'src/cli/main.ts') },
    platform: 'node',
    external: (id) => /^[\w@]/.test(id) && id !== bundled,
    // Of modules that are imported at once, too: a file has them anyway.
    checks: { ineffectiveDynamicImport: false },
  });
  const { output } = await bundle.write({
    dir: join(root, bundleDirectory),
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
    comments: false,
    codeSplitting: { groups },
  });
  const license = readFileSync(join(root, 'node_modules', bundled, 'LICENSE'), 'utf8');
  writeFileSync(join(root, bundleDirectory, licenses), `${bundled}, in command.js:\n\n${license}`);
  return [...output.map(({ fileName }) => fileName), licenses].map((name) =>
    join(bundleDirectory, name),
  );
}
