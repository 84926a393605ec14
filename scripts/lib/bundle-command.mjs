// Bundles the command into few files in dist/cli/, with commander: a hundred small ones take longer to load than a
// long list takes to print. As CommonJS, since Node's loader of ES modules takes 10 ms to start. The library in dist/ is
// not bundled; the command has its own copy of the modules that it uses.

import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { removeCodeCaches } from './code-cache.mjs';
import { root } from './process.mjs';

/** Where the bundle is, below the package. */
export const bundleDirectory = 'dist/cli';
/** The packages that are a part of the bundle, of each file; all others are loaded from node_modules. */
const bundled = {
  command: ['commander'],
};
const bundledNames = Object.values(bundled).flat();
const licenses = 'licenses.txt';
/** What starts the command: not a part of the bundle, whose files it loads. */
const loader = 'main.js';
/** Says that the .js files beside it are CommonJS. */
const packageJson = 'package.json';

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

/** Modules that are another one in the bundle: from whom (part of a path), what, and the source. */
const replacements = [
  // Commander can run other programs as commands. None of ours is one, and what starts programs takes 4 ms to load.
  { from: '/node_modules/commander/', id: 'node:child_process', source: 'export {};' },
  // 4 ms, and few commands hash anything in JavaScript; 2 ms, and lists read the metadata alone.
  ...['node:crypto', 'node:fs/promises', 'node:timers/promises'].map((id) => ({
    from: '/src/',
    id,
    source: lazily(id),
  })),
];

/**
 * A module that loads one of Node's own when one of its functions or classes is used first.
 * @param {string} id
 */
function lazily(id) {
  const names = Object.entries(process.getBuiltinModule(id) ?? {})
    .filter(([, value]) => typeof value === 'function')
    .map(([name]) => name);
  return names
    .map(
      (name) => `export function ${name}(...args) {
        const own = process.getBuiltinModule('${id}').${name};
        return new.target === undefined ? own(...args) : Reflect.construct(own, args);
      }`,
    )
    .join('\n');
}

/**
 * @param {string} id
 * @param {string | undefined} from
 */
function replacementOf(id, from) {
  return replacements.find((one) => one.id === id && from?.includes(one.from) === true);
}

const replacing = {
  name: 'replacing',
  resolveId: (/** @type {string} */ id, /** @type {string | undefined} */ from) => {
    return replacementOf(id, from) && `\0instead-of ${id}`;
  },
  load: (/** @type {string} */ id) =>
    replacements.find((one) => `\0instead-of ${one.id}` === id)?.source,
  // Of packages, and Node's own; what is in the bundle is required. See scripts/lib/bundled/main.cjs.
  renderChunk: (/** @type {string} */ code) =>
    code.replace(/(?<![.\w$])import\((?=")/g, 'importOutside('),
  generateBundle: (
    /** @type {unknown} */ _,
    /** @type {import('rolldown').OutputBundle} */ bundle,
  ) => {
    for (const file of Object.values(bundle)) {
      if (file.type === 'chunk') {
        file.code = escaped(file.code);
      }
    }
  },
};

/**
 * Other characters than ASCII, which are in strings and regular expressions alone, as escapes: V8 would take twice the
 * memory for the whole file, and a millisecond to decode it.
 * @param {string} code
 */
function escaped(code) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all that is not ASCII
  return code.replace(/[^\x00-\x7f]/g, (unit) => {
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/**
 * @returns {Promise<string[]>} the files that were written, relative to the package
 */
export async function bundleCommand() {
  const { rolldown } = await import('rolldown'); // not there before npm ci
  const bundle = await rolldown({
    input: { entry: join(root, 'src/cli/main.ts') },
    platform: 'node',
    external: (id, from) =>
      /^[\w@]/.test(id) && !bundledNames.includes(id) && replacementOf(id, from) === undefined,
    // Not worth telling: modules that are also imported at once (a file has them anyway), and the eval of a package.
    checks: { ineffectiveDynamicImport: false, eval: false },
    plugins: [replacing],
  });
  const directory = join(root, bundleDirectory);
  removeCodeCaches(directory);
  const { output } = await bundle.write({
    dir: directory,
    format: 'cjs',
    strict: true, // as all ES modules are
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
    comments: false,
    codeSplitting: { groups },
  });
  copyFileSync(join(root, 'scripts/lib/bundled/main.cjs'), join(directory, loader));
  writeFileSync(join(directory, licenses), licenseTexts());
  writeFileSync(join(directory, packageJson), '{ "type": "commonjs" }\n');
  const names = [...output.map(({ fileName }) => fileName), loader, licenses, packageJson];
  return names.map((name) => join(bundleDirectory, name));
}

function licenseTexts() {
  const texts = Object.entries(bundled).flatMap(([chunk, names]) =>
    names.map((name) => {
      const directory = join(root, 'node_modules', name);
      const { license, author } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
      const file = join(directory, 'LICENSE');
      const text = existsSync(file) ? readFileSync(file, 'utf8') : `by ${author.name ?? author}\n`;
      return `${name} (${license}), in ${chunk}.js:\n\n${text}`;
    }),
  );
  return texts.join('\n');
}
