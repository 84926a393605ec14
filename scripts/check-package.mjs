#!/usr/bin/env node
// Packs the package, installs it in an empty folder as a user would, and uses it there: the command unpacks an image
// of real files, whose result is compared path by path; the library is imported and its types are compiled against.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prebuiltFloorPath, prebuiltLicenses, prebuiltPath } from './lib/build-addon.mjs';
import { npm } from './lib/node-modules.mjs';
import { root, runQuietly, ScriptError, say, script } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';

const wanted = [
  'package.json',
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
  'SECURITY.md',
  'binding.gyp',
  'dist/cli/main.js',
  'dist/cli/licenses.txt',
  'dist/cli/package.json',
  'dist/index.js',
  'dist/index.d.ts',
  'dist/native/binding.d.ts',
  'docs/errors.md',
  'native/addon/module.cc',
  'scripts/setup.mjs',
  'scripts/sources.py',
  prebuiltPath,
  prebuiltFloorPath,
  prebuiltLicenses,
  'bench/floor/main.cc',
];
const unwanted = /^((src|test|build|node_modules|\.ci)\/|bench\/(?!floor\/))|\.stamp$/;

const usage = `
import { inspectImage, unpackImage, UnpackError } from 'oci-unpack';
const [reference, destination] = process.argv.slice(2);
const info = await inspectImage(reference);
const report = await unpackImage(reference, destination, { format: 'flat', policies: POLICIES });
if (report.manifestDigest !== info.manifestDigest || report.status !== 'confirmed') {
  throw new Error(\`not confirmed: \${JSON.stringify(report.status)}\`);
}
const failure = await unpackImage('oci:/nowhere', destination).catch((error) => error);
if (!(failure instanceof UnpackError) || failure.code !== 'ERR_NOT_FOUND') {
  throw failure;
}
`;

const typed = `
import { type ImageReport, type LayerReport, unpackImage, unpackLayer } from 'oci-unpack';
export const image: Promise<ImageReport> = unpackImage('oci:x', 'y', { format: 'overlay', concurrency: 2 });
export const layer: Promise<LayerReport> = unpackLayer(Buffer.alloc(0), 'z', { limits: { maxEntries: 3 } });
`;

/**
 * @param {string} scratch
 * @returns {Promise<string>} the path of the packed package
 */
async function pack(scratch) {
  const output = await runQuietly(
    'npm pack',
    ...npm('pack', '--json', '--silent', '--pack-destination', scratch),
  );
  // What prepack prints comes before.
  const [{ filename, files, size }] = JSON.parse(output.slice(output.search(/^\[/m)));
  const names = new Set(files.map((/** @type {{ path: string }} */ file) => file.path));
  const missing = wanted.filter((name) => !names.has(name));
  const surplus = [...names].filter((name) => unwanted.test(name));
  if (missing.length > 0 || surplus.length > 0) {
    throw new ScriptError(
      `the package lacks: ${missing.join(' ') || 'nothing'}; has too much: ${surplus.join(' ') || 'nothing'}`,
    );
  }
  say(`${filename}: ${names.size} files, ${Math.round(size / 1024)} KiB`);
  return join(scratch, filename);
}

/**
 * Installs the package and uses it.
 * @param {string} scratch
 * @param {string} packed
 */
async function use(scratch, packed) {
  const app = join(scratch, 'app');
  mkdirSync(app);
  const options = { cwd: app };
  const install = ['install', '--no-audit', '--no-fund', '--loglevel=error', packed];
  await runQuietly('npm init', ...npm('init', '--yes', '--silent'), options);
  await runQuietly('npm install', ...npm(...install), options);
  const command = join(app, 'node_modules/.bin/oci-unpack');
  const installed = join(app, 'node_modules/oci-unpack');
  if (existsSync(join(installed, 'build'))) {
    throw new ScriptError('npm install has built the addon; the prebuilt one should have served');
  }
  await runQuietly('oci-unpack doctor', command, ['doctor'], options);

  // Not of the package under test: its own sources make the image and look at the result.
  const { makeDemoImage } = await import(`${root}/dist/demo/image.js`);
  const { scanDirectory } = await import(`${root}/dist/demo/scan.js`);
  const { compareTrees } = await import(`${root}/dist/demo/tree.js`);
  const image = await makeDemoImage(join(scratch, 'image'), { small: true });
  const destination = join(app, 'unpacked');
  const privileged = process.geteuid?.() === 0;
  const rights = privileged ? [] : ['--ownership', 'ignore', '--xattrs', 'best-effort'];
  const args = ['unpack', image.reference, destination, '--format', 'flat', ...rights];
  await runQuietly('oci-unpack unpack', command, args, options);
  const tree = await scanDirectory(join(destination, 'rootfs'));
  const tolerance = { xattrs: true, owners: !privileged };
  const differences = compareTrees(image.truth, tree, tolerance);
  if (differences.length > 0) {
    throw new ScriptError(`differences: ${JSON.stringify(differences.slice(0, 10))}`);
  }
  say(`unpacked: ${tree.size} paths, no difference`);

  const bench = ['bench', '--smoke', '--peers', 'none', '--quiet'];
  await runQuietly('oci-unpack bench', command, bench, options);

  const policies = privileged ? '{}' : "{ ownership: 'ignore', xattrs: 'best-effort' }";
  writeFileSync(join(app, 'use.mjs'), usage.replace('POLICIES', policies));
  const script = ['use.mjs', image.reference, destination];
  await runQuietly('the library', process.execPath, script, options);
  writeFileSync(join(app, 'typed.mts'), typed);
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
  const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023'];
  await runQuietly('its types', process.execPath, [tsc, ...flags, ...types, 'typed.mts'], options);
}

await script(async () => {
  await setup();
  const scratch = mkdtempSync(join(tmpdir(), 'oci-unpack-package-'));
  try {
    await use(scratch, await pack(scratch));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  say('the package: all well');
});
