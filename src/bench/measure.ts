// Runs contenders on one image and one file system: first each result is checked, then the runs are timed in turns.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { compareTrees, type Difference, type Tree } from '../demo/tree.js';
import { UnpackError } from '../index.js';
import { removeTree } from '../native/index.js';
import type { Contender, UnpackFacts, View } from './contender.js';
import type { BenchImage } from './image.js';
import { type Statistics, statistics } from './statistics.js';

/** What is measured of a contender. */
export interface Row {
  id: string;
  title: string;
  digests: boolean;
  lacks: string[];
  /** Wall time of each run, in milliseconds. */
  samples: number[];
  /** CPU time of the whole process in each run, user and system, in milliseconds. */
  cpu: number[];
  /** Of `samples`. */
  statistics: Statistics;
  /** Paths compared, and those that differ. */
  paths: number;
  differences: Difference[];
  /** Of the last run. */
  facts: UnpackFacts;
}

export interface MeasureOptions {
  /** An existing directory on the file system to measure. */
  scratch: string;
  /** Timed runs of each contender. */
  runs: number;
  /** What every result must be; by default the result of the first contender. */
  truth?: Tree;
  signal?: AbortSignal;
  /** Told what is being done. */
  onStep?: (text: string) => void;
}

/** Checks and times `contenders`. */
export async function measure(
  contenders: readonly Contender[],
  image: BenchImage,
  options: MeasureOptions,
): Promise<Row[]> {
  const rows: Row[] = [];
  let expected: View | undefined = options.truth && { tree: options.truth, tolerance: {} };
  for (const contender of contenders) {
    options.onStep?.(`checking the result of ${contender.title}`);
    const xattrs = [...(options.truth ?? [])].filter(([, { xattrs }]) => xattrs).map(([at]) => at);
    const view = await check(contender, image, xattrs, options);
    expected ??= view;
    const tolerance = {
      ...expected.tolerance,
      ...definedOnly(view.tolerance),
    };
    rows.push({
      id: contender.id,
      title: contender.title,
      digests: contender.digests,
      lacks: contender.lacks,
      samples: [],
      cpu: [],
      statistics: statistics([0]),
      paths: expected.tree.size,
      differences: compareTrees(expected.tree, view.tree, tolerance),
      facts: {},
    });
  }
  for (let run = 0; run < options.runs; run++) {
    options.onStep?.(`timed run ${run + 1} of ${options.runs}`);
    await timedRound(contenders, rows, image, options);
  }
  for (const row of rows) {
    row.statistics = statistics(row.samples);
  }
  return rows;
}

/** A run that is not timed, and warms up the page cache and the code. */
async function check(
  contender: Contender,
  image: BenchImage,
  xattrs: string[],
  { scratch, signal }: MeasureOptions,
): Promise<View> {
  const destination = path.join(scratch, 'check');
  try {
    await contender.unpack(image, destination, signal);
    return await contender.view(image, destination, xattrs, signal);
  } finally {
    await removeTree(destination);
    await removeTree(`${destination}.mount`);
  }
}

/** One timed run of each contender; what they leave is removed outside of the time. */
async function timedRound(
  contenders: readonly Contender[],
  rows: readonly Row[],
  image: BenchImage,
  { scratch, signal }: MeasureOptions,
): Promise<void> {
  const { Bench } = await loadTinybench();
  const bench = new Bench({
    iterations: 1,
    time: 0,
    warmup: false,
    throws: true,
    retainSamples: true,
    ...(signal && { signal }),
  });
  contenders.forEach((contender, index) => {
    const row = rows[index] as Row;
    const destination = path.join(scratch, `run-${index}`);
    let before = process.cpuUsage();
    bench.add(
      contender.id,
      async () => {
        row.facts = await contender.unpack(image, destination, signal);
      },
      {
        beforeEach: async () => {
          await mkdir(scratch, { recursive: true });
          before = process.cpuUsage();
        },
        afterEach: async () => {
          const { user, system } = process.cpuUsage(before);
          row.cpu.push((user + system) / 1000);
          await removeTree(destination);
        },
      },
    );
  });
  await bench.run();
  signal?.throwIfAborted();
  bench.tasks.forEach((task, index) => {
    const { result } = task;
    if ('latency' in result) {
      rows[index]?.samples.push(...(result.latency.samples ?? []));
    }
  });
}

function definedOnly<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part)) as Partial<T>;
}

async function loadTinybench(): Promise<typeof import('tinybench')> {
  try {
    return await import('tinybench');
  } catch (error) {
    throw new UnpackError(
      'ERR_UNSUPPORTED',
      'the demo and the bench need the optional dependency tinybench: npm install tinybench@6',
      { cause: error },
    );
  }
}
