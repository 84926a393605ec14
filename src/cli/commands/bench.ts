// `oci-unpack bench [IMAGE...]`.

import { constants } from 'node:fs';
import { access, type FileHandle, open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import {
  type BenchReport,
  benchLines,
  compareReports,
  comparisonLines,
  htmlReport,
  readReport,
  runBench,
} from '../../bench/index.js';
import { givenPath } from '../../given-path.js';
import { UnpackError } from '../../index.js';
import { addOutputOptions, type OutputOptions, parseCount } from '../arguments.js';
import { exitFailed, type RunContext } from '../run-context.js';
import type { LiveRegion } from '../terminal.js';

const example = `
Examples:
  $ oci-unpack bench
  $ oci-unpack bench oci:./image:latest --dir /mnt/scratch --runs 9 \\
      --report report.html --json before.json
  $ oci-unpack bench oci:./image:latest --peers containerd,umoci,tar-igzip
  $ oci-unpack bench --registry http://127.0.0.1:5000 library/debian:12 \\
      --rates 1000,200
  $ oci-unpack bench compare before.json after.json

Without an image one is made of real files of this machine. Every result is
compared path by path before any time is printed; the exit code is 1 when one of
oci-unpack's differs.`;

interface BenchArguments extends Omit<OutputOptions, 'json'> {
  dir?: string;
  runs: number;
  peers?: string;
  smoke?: boolean;
  registry?: string;
  rates?: number[];
  report?: string;
  json?: true | string;
}

/** The command. */
export function benchCommand(context: RunContext): Command {
  const command = new Command('bench')
    .description('measure what unpacking costs on this host, beside others')
    .argument(
      '[image...]',
      'oci:PATH[:TAG], oci-archive:PATH[:TAG], docker-archive:PATH[:NAME] or containerd:NAME',
    )
    .option('-d, --dir <dir>', 'where to work, which is the file system that is measured')
    .option('-n, --runs <n>', 'timed runs of each contender', parseCount(1, 1000), 5)
    .option('--peers <list>', 'all, none, or names such as containerd,tar-igzip (default: all)')
    .option('--registry <url>', 'measure pulls from http://HOST:PORT instead; images are its names')
    .option(
      '--rates <list>',
      'Mbit/s of the registry, 0 for all it gives (default: 1000,200)',
      rates,
    )
    .option('--report <file>', 'write a report as one HTML file')
    .option('--smoke', 'one run on a small image: only to see that everything works')
    .option('--json [file]', 'print the result as JSON, or write it to a file')
    .option('-q, --quiet', 'print only errors, no progress');
  return command
    .addCommand(compareCommand(context))
    .addHelpText('after', example)
    .action(async (images: string[], given: BenchArguments) => {
      const { references, json } = jsonOption(images, given.json);
      checkCombination(given);
      await checkOutputs(given.report, typeof json === 'string' ? json : undefined);
      const output = { quiet: given.quiet, json: json === true };
      const region = context.liveRegion(output);
      if (given.registry !== undefined) {
        await benchPulls(context, given, references, json, region);
        return;
      }
      let report: BenchReport;
      try {
        report = await runBench({
          images: references,
          directory: given.dir,
          runs: given.runs,
          peers: given.peers,
          smoke: given.smoke,
          signal: context.signal,
          ...(region && { onStep: (text) => region.draw([text]) }),
        });
      } finally {
        region?.clear();
      }
      context.print(output, report, () => benchLines(report));
      if (given.report !== undefined) {
        await writeOutput(given.report, htmlReport(report));
      }
      if (typeof json === 'string') {
        await writeOutput(json, `${JSON.stringify(report, null, 2)}\n`);
      }
      if (!report.equal) {
        process.exitCode = exitFailed;
      }
    });
}

async function benchPulls(
  context: RunContext,
  given: BenchArguments & { registry?: string },
  images: string[],
  json: true | string | undefined,
  region: LiveRegion | undefined,
): Promise<void> {
  const { runPullBench, pullBenchLines } = await import('../../bench/pull/index.js');
  try {
    const report = await runPullBench({
      registry: given.registry ?? '',
      images,
      ...(given.rates && { rates: given.rates }),
      directory: given.dir,
      runs: given.smoke ? 1 : given.runs,
      alone: given.peers === 'none',
      signal: context.signal,
      onStep: (text) => region?.draw([text]),
    });
    region?.clear();
    const output = { quiet: given.quiet, json: json === true };
    context.print(output, report, () => pullBenchLines(report));
    if (typeof json === 'string') {
      await writeOutput(json, `${JSON.stringify(report, null, 2)}\n`);
    }
  } finally {
    region?.clear();
  }
}

function rates(text: string): number[] {
  return text.split(',').map(parseCount(0, 1_000_000));
}

const compareExample = `
Example:
  $ oci-unpack bench compare before.json after.json`;

/** `oci-unpack bench compare A.json B.json`. */
function compareCommand(context: RunContext): Command {
  const command = new Command('compare')
    .description('compare two results of bench --json FILE, and tell change from chance')
    .argument('<before>', 'the earlier result')
    .argument('<after>', 'the later result');
  return addOutputOptions(command)
    .addHelpText('after', compareExample)
    .action(async (before: string, after: string, given: OutputOptions) => {
      const comparison = compareReports(await readReport(before), await readReport(after));
      context.print(given, comparison, () => comparisonLines(comparison));
    });
}

/** What only one of the two benches has would be ignored by the other. */
function checkCombination({ registry, report, rates, peers = 'all' }: BenchArguments): void {
  const wrong = (what: string) => new UnpackError('ERR_INVALID_ARGUMENT', what);
  if (registry === undefined) {
    if (rates !== undefined) {
      throw wrong('--rates: needs --registry');
    }
    return;
  }
  if (report !== undefined) {
    throw wrong('--report: shows unpacks; for pulls of --registry there is --json FILE');
  }
  if (!['all', 'none', 'containerd'].includes(peers)) {
    throw wrong(
      `--peers: ${peers} cannot be measured with --registry; write all, none or containerd`,
    );
  }
}

/** Before minutes of measuring: whether its results can be written. */
async function checkOutputs(report: string | undefined, json: string | undefined): Promise<void> {
  if (report !== undefined && json !== undefined && path.resolve(report) === path.resolve(json)) {
    throw new UnpackError(
      'ERR_INVALID_ARGUMENT',
      `${json}: --report and --json name the same file`,
    );
  }
  await checkOutput(report, '<!doctype html>');
  await checkOutput(json, '{');
}

/** A file that begins otherwise than with `start` may be all but a result: an image after `--json`, say. */
async function checkOutput(file: string | undefined, start: string): Promise<void> {
  if (file === undefined) {
    return;
  }
  try {
    const found = await startOf(givenPath('file', file), start.length);
    if (found !== '' && found !== start) {
      const what = `${file}: is there already, and is no result of bench that it may overwrite`;
      throw new UnpackError('ERR_INVALID_ARGUMENT', what);
    }
  } catch (error) {
    throw UnpackError.from(error);
  }
}

/** The first characters of a file that can be written; of one that is not there yet, and of a pipe, none. */
async function startOf(file: string, length: number): Promise<string> {
  let handle: FileHandle;
  try {
    handle = await open(file, 'r+');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EISDIR') {
      throw new UnpackError('ERR_INVALID_ARGUMENT', `${file}: is a directory`, { path: file });
    }
    if (code !== 'ENOENT') {
      throw error;
    }
    await access(path.dirname(file), constants.W_OK | constants.X_OK);
    return '';
  }
  try {
    if ((await handle.stat()).size === 0) {
      return '';
    }
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

async function writeOutput(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (error) {
    throw UnpackError.fromSystem(error, file);
  }
}

/** `--json oci:IMAGE` can only mean an image: the option has no file then. */
function jsonOption(
  images: string[],
  json: true | string | undefined,
): { references: string[]; json: true | string | undefined } {
  return typeof json === 'string' && /^(oci|oci-archive|docker-archive|containerd):/.test(json)
    ? { references: [...images, json], json: true }
    : { references: images, json };
}
