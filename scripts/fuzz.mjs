#!/usr/bin/env node
// npm run fuzz [-- --seconds N] [--seed N] [NAME...]: builds the fuzz targets of test/fuzz with clang (libFuzzer, ASan, UBSan) and runs
// them, two at a time; 60 seconds each by default. What they find new is kept in build/fuzz/NAME/corpus, an input
// that fails in build/fuzz/NAME. With --seed the same inputs come in the same order. Fix it, and add it to test/fuzz/seeds/NAME.

import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installPackages, missingPackages } from './lib/debian-packages.mjs';
import {
  outputOf,
  root,
  runQuietly,
  ScriptError,
  say,
  script,
  seconds,
  which,
} from './lib/process.mjs';
import { filesBelow, hashOf, isFresh, writeStamp } from './lib/stamp.mjs';

/** The folders of native/ that each target links. */
const targets = {
  gzip: { folders: ['base', 'decode'], length: 4096 },
  zstd: { folders: ['base', 'decode'], length: 4096 },
  tar: { folders: ['base', 'tar'], length: 16384, dictionary: 'test/fuzz/tar.dict' },
  plan: { folders: ['base', 'tree'], length: 160 },
  apply: {
    folders: ['base', 'source', 'decode', 'digest', 'tar', 'tree', 'apply', 'pipeline'],
    length: 4096,
  },
};
const libraries = ['-lz', '-lcrypto', '-l:libzstd.a', '-ldl', '-lpthread'];
const headers = ['libzstd-dev', 'zlib1g-dev', 'libssl-dev'];

/** A clang++ that really compiles for libFuzzer. */
async function compiler() {
  const probe = ['-fsanitize=fuzzer,address', '-x', 'c++', '-', '-o', '/dev/null'];
  const input = 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }';
  const find = () =>
    ['clang++', ...versions()].find(
      (name) => which(name) && outputOf(name, probe, { input }) !== undefined,
    );
  let found = find();
  if (found === undefined) {
    // The runtime is only recommended by clang.
    const packages = ['clang', 'libclang-rt-dev', ...missingPackages(headers)];
    await installPackages('to build the fuzz targets', packages);
    found = find();
  }
  if (found === undefined) {
    throw new ScriptError('clang++ was installed, but cannot build a libFuzzer target');
  }
  return found;
}

/** clang++-14 and its like, the newest first. */
function versions() {
  return Array.from({ length: 12 }, (_, i) => `clang++-${25 - i}`);
}

/** @param {string} name */
async function build(name) {
  const { folders } = targets[/** @type {keyof typeof targets} */ (name)];
  const directory = join(root, 'build/fuzz', name);
  mkdirSync(join(directory, 'corpus'), { recursive: true });
  const clang = await compiler();
  const hash = hashOf(filesBelow(['native', 'test/fuzz', 'scripts/fuzz.mjs']), [
    outputOf(clang, ['--version']) ?? '',
  ]);
  const stamp = `build/fuzz/.${name}.stamp`;
  const program = join(directory, `${name}_fuzz`);
  if (existsSync(program) && isFresh(stamp, hash)) {
    return program;
  }
  const sources = folders
    .flatMap((folder) => filesBelow([`native/${folder}`]))
    .filter((file) => file.endsWith('.cc'));
  await runQuietly(`build of the fuzz target ${name}`, clang, [
    ...['-std=c++20', '-g', '-O1', '-fno-omit-frame-pointer'],
    ...['-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=undefined'],
    ...['-Inative', '-Itest/fuzz', `test/fuzz/${name}_fuzz.cc`, ...sources],
    ...['-o', program, ...libraries],
  ]);
  writeStamp(stamp, hash);
  return program;
}

/**
 * Runs one target; true when it found nothing.
 * @param {string} name
 * @param {string} program
 * @param {number} time
 * @param {string} seed
 */
async function fuzz(name, program, time, seed) {
  const { length, ...more } = targets[/** @type {keyof typeof targets} */ (name)];
  const directory = join(root, 'build/fuzz', name);
  const seeds = join(root, 'test/fuzz/seeds', name);
  const args = [
    `-max_total_time=${time}`,
    `-seed=${seed}`, // 0: another one each time
    `-max_len=${length}`,
    `-artifact_prefix=${directory}/`,
    ...['-timeout=20', '-rss_limit_mb=2048', '-print_final_stats=1', '-verbosity=1'],
    ...('dictionary' in more ? [`-dict=${join(root, more.dictionary)}`] : []),
    'corpus',
    ...(existsSync(seeds) ? [seeds] : []),
  ];
  const started = performance.now();
  try {
    const output = await runQuietly(`fuzz ${name}`, program, args, { cwd: directory });
    const runs = /number_of_executed_units: (\d+)/.exec(output)?.[1] ?? '?';
    const corpus = readdirSync(join(directory, 'corpus')).length;
    say(`  ${name}: ${runs} runs in ${seconds(started)}, nothing found; corpus ${corpus}`);
    return true;
  } catch (error) {
    if (!(error instanceof ScriptError)) {
      throw error;
    }
    say(`${error.message}\n  ${name}: FAILED; the input is in build/fuzz/${name}`);
    return false;
  }
}

await script(async () => {
  const { values, positionals } = parseArgs({
    options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '0' } },
    allowPositionals: true,
  });
  const time = Number(values.seconds);
  if (!Number.isInteger(time) || time < 1) {
    throw new ScriptError(`--seconds wants a whole number above 0, not ${values.seconds}`);
  }
  if (!/^\d+$/.test(values.seed)) {
    throw new ScriptError(`--seed wants a whole number, not ${values.seed}`);
  }
  const names = positionals.length > 0 ? positionals : Object.keys(targets);
  const unknown = names.find((name) => !(name in targets));
  if (unknown !== undefined) {
    throw new ScriptError(`no target ${unknown}; there are ${Object.keys(targets).join(', ')}`);
  }
  /** @type {{ name: string, program: string }[]} */
  const programs = [];
  for (const name of names) {
    programs.push({ name, program: await build(name) });
  }
  let failed = 0;
  const worker = async () => {
    for (let next = programs.shift(); next !== undefined; next = programs.shift()) {
      failed += (await fuzz(next.name, next.program, time, values.seed)) ? 0 : 1;
    }
  };
  await Promise.all([worker(), worker()]);
  return failed === 0 ? 0 : 1;
});
