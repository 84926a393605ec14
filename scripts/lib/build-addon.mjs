// Builds the addon (and, for the tests, the native test program) with node-gyp when it is stale.

import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { installPackages, missingPackages, tryPackages } from './debian-packages.mjs';
import { outputOf, root, runQuietly, ScriptError, which } from './process.mjs';
import { filesBelow, hashOf, isFresh, writeStamp } from './stamp.mjs';

const needed = ['g++', 'make', 'python3', 'libzstd-dev', 'zlib1g-dev', 'libssl-dev'];
/** ISA-L inflates gzip two to three times as fast as zlib; the addon works without. */
const wanted = ['libisal-dev', 'libisal2'];

/** What the sources include from elsewhere, by the Debian package that has it. */
const headers = {
  'libzstd-dev': 'zstd.h',
  'zlib1g-dev': 'zlib.h',
  'libssl-dev': 'openssl/evp.h',
};

/** Parts of the build: the addon itself, the test program of everything below it, the bench's native part. */
const targets = {
  addon: { name: 'oci_unpack', output: 'build/Release/oci_unpack.node', sources: ['native'] },
  tests: {
    name: 'native_tests',
    output: 'build/Release/native_tests',
    sources: ['native', 'test/native'],
  },
  floor: {
    name: 'bench_floor',
    output: 'build/Release/bench_floor',
    sources: ['native/base', 'native/decode', 'native/tar', 'bench/floor'],
  },
};

/** The path of the built addon, relative to the package. */
export const addonPath = targets.addon.output;

/** Where the package has the addon for this platform, relative to it; src/native/load.ts looks there. */
export const prebuiltPath = `prebuilds/${process.platform}-${process.arch}/oci_unpack.node`;

/** The path of the built native part of the bench, relative to the package. */
export const floorPath = targets.floor.output;

/** Where the package has it. */
export const prebuiltFloorPath = `prebuilds/${process.platform}-${process.arch}/bench_floor`;

/** Where it has the licenses of what is linked into the addon. */
export const prebuiltLicenses = 'prebuilds/licenses.txt';

/** The path of the native test program, relative to the package. */
export const nativeTestsPath = targets.tests.output;

/**
 * Builds what is stale; installs what that needs.
 * @param {{ tests: boolean }} options whether the test program is wanted too
 * @returns {Promise<boolean>} whether anything was built
 */
export async function buildAddon({ tests }) {
  const stale = [targets.addon, targets.floor, ...(tests ? [targets.tests] : [])].filter(
    (target) =>
      !existsSync(join(root, target.output)) || !isFresh(stampOf(target), hashFor(target)),
  );
  if (stale.length === 0) {
    return false;
  }
  await installTools();
  const gyp = nodeGyp();
  const nodedir = nodeHeaders();
  const configure = ['configure', '--loglevel=error', ...(nodedir ? [`--nodedir=${nodedir}`] : [])];
  await runQuietly('node-gyp configure', process.execPath, [gyp, ...configure]);
  const jobs = String(Math.max(1, Math.min(availableParallelism(), 8)));
  for (const target of stale) {
    const build = [gyp, 'build', target.name, '--loglevel=error', '--jobs', jobs];
    await runQuietly(`build of ${target.output}`, process.execPath, build);
    writeStamp(stampOf(target), hashFor(target));
  }
  return true;
}

/** @param {{ name: string }} target */
function stampOf({ name }) {
  return `build/.${name}.stamp`;
}

/** @param {{ sources: string[] }} target */
function hashFor({ sources }) {
  return hashOf(filesBelow(['binding.gyp', ...sources]), [
    process.arch,
    `ABI ${process.versions.modules}`,
    outputOf(compiler(), ['--version']) ?? 'no compiler',
    `lmdb ${readFileSync(join(root, 'node_modules/lmdb/package.json'))}`,
    `ISA-L ${existsSync('/usr/include/isa-l/igzip_lib.h')}`, // compiled in only where its header is
  ]);
}

function compiler() {
  return process.env.CXX || 'g++';
}

/** Checks the tools and headers by themselves, not by package, so that other ways to have them count. */
async function installTools() {
  const lacking = new Set(['make', 'python3'].filter((tool) => !which(tool)));
  if (outputOf(compiler(), ['--version']) === undefined) {
    lacking.add('g++');
    missingPackages(needed).forEach((name) => {
      lacking.add(name);
    });
  } else {
    for (const [name, header] of Object.entries(headers)) {
      const probe = ['-E', '-x', 'c++', '-include', header, '-'];
      if (outputOf(compiler(), probe) === undefined) {
        lacking.add(name);
      }
    }
    // The static library, since the addon links it hidden; the compiler prints a path only for what exists.
    const archive = outputOf(compiler(), ['-print-file-name=libzstd.a'])?.trim();
    if (!archive?.includes('/')) {
      lacking.add('libzstd-dev');
    }
  }
  if (lacking.size > 0) {
    await installPackages('to build the addon', [...lacking]);
  }
  await tryPackages('to inflate gzip two to three times as fast', wanted);
}

/** Where node-gyp is: among our packages, or inside npm. */
function nodeGyp() {
  const inside = 'node_modules/node-gyp/bin/node-gyp.js';
  const npmRoot = process.env.npm_execpath ?? which('npm');
  const places = [join(root, inside)];
  if (npmRoot) {
    places.push(join(dirname(dirname(realpathSync(npmRoot))), inside));
  }
  const found = places.find((place) => existsSync(place));
  if (!found) {
    throw new ScriptError(`node-gyp was not found; looked at:\n  ${places.join('\n  ')}`);
  }
  return found;
}

/** The prefix of the running Node when its own headers are there; else node-gyp fetches them. */
function nodeHeaders() {
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  const header = join(prefix, 'include/node/node_version.h');
  if (!existsSync(header)) {
    return undefined;
  }
  const text = readFileSync(header, 'utf8');
  const part = (/** @type {string} */ name) =>
    new RegExp(`^#define NODE_${name}_VERSION (\\d+)$`, 'm').exec(text)?.[1];
  const version = [part('MAJOR'), part('MINOR'), part('PATCH')].join('.');
  return version === process.versions.node ? prefix : undefined;
}
