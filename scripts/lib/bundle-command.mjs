// Bundles the command into few files in dist/cli/, with commander: a hundred small ones take longer to load than a long
// list takes to print. As CommonJS, since Node's loader of ES modules takes 10 ms to start. The library in dist/ is not
// bundled; the command has its own copy of the modules that it uses.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './process.mjs';

/** Where the bundle is, below the package. */
export const bundleDirectory = 'dist/cli';
/** A dependency that is a part of the bundle; all others are loaded from node_modules. */
const bundled = 'commander';
const licenses = 'licenses.txt';
/** Says that the .js files beside it are CommonJS. */
const packageJson = 'package.json';

/**
 * Files of their own: these modules and what they import, without what is in an earlier one. How the rest is put together,
 * by which commands load it, is the bundler's.
 */
const groups = [
  {
    name: 'command',
    test: /\/src\/(cli\/(program|arguments|warnings-summary)|native\/index)\.ts$/,
  },
  { name: 'store', test: /\/src\/(cli\/store\/images|store\/store)\.ts$/ },
  { name: 'unpack', test: /\/src\/cli\/commands\/unpack\.ts$/ },
];

/**
 * Commander can run other programs as commands. None of ours is one, and what starts programs takes 4 ms to load.
 * @param {string} id
 * @param {string | undefined} from
 */
function isProgramRunner(id, from) {
  return id === 'node:child_process' && from?.includes(`/node_modules/${bundled}/`) === true;
}

const withoutProgramRunner = {
  name: 'without-program-runner',
  resolveId: (/** @type {string} */ id, /** @type {string | undefined} */ from) =>
    isProgramRunner(id, from) ? '\0no-program-runner' : null,
  load: (/** @type {string} */ id) => (id === '\0no-program-runner' ? 'export {};' : null),
};

/**
 * @returns {Promise<string[]>} the files that were written, relative to the package
 */
export async function bundleCommand() {
  const { rolldown } = await import('rolldown'); // not there before npm ci
  const bundle = await rolldown({
    input: { main: join(root, 'src/cli/main.ts') },
    platform: 'node',
    external: (id, from) => /^[\w@]/.test(id) && id !== bundled && !isProgramRunner(id, from),
    // Of modules that are imported at once, too: a file has them anyway.
    checks: { ineffectiveDynamicImport: false },
    plugins: [withoutProgramRunner],
  });
  const { output } = await bundle.write({
    dir: join(root, bundleDirectory),
    format: 'cjs',
    strict: true, // as all ES modules are
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
    comments: false,
    codeSplitting: { groups },
  });
  const license = readFileSync(join(root, 'node_modules', bundled, 'LICENSE'), 'utf8');
  writeFileSync(join(root, bundleDirectory, licenses), `${bundled}, in command.js:\n\n${license}`);
  writeFileSync(join(root, bundleDirectory, packageJson), '{ "type": "commonjs" }\n');
  const names = [...output.map(({ fileName }) => fileName), licenses, packageJson];
  return names.map((name) => join(bundleDirectory, name));
}
