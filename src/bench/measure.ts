// Runs contenders on one image and one file system: first each result is checked, then the runs are timed in turns.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { compareTrees, type Difference, type Tree } from '../demo/tree.js';
import { UnpackError } from '../index.js';
import { removeTree, syncFileSystemOf } from '../native/index.js';
import type { Absence, Contender, ContenderKind, Place, UnpackFacts, View } from './contender.js';
import type { BenchImage } from './image.js';
import { inRoundOrder } from './round-order.js';
import { type Statistics, statistics } from './statistics.js';

/** One timed run. */
export interface Sample {
  /** Milliseconds by the clock; of the floor: what it would be, spread evenly over all processors. */
  wall: number;
  /** Milliseconds of processor time, where it could be measured. */
  user?: number;
  system?: number;
  /** Bytes of peak resident memory; of several processes the largest. */
  maxRss?: number;
}

/** What is measured of a contender. */
export interface Row {
  id: string;
  title: string;
  kind: ContenderKind;
  version?: string;
  digests: boolean;
  lacks: string[];
  /** `failed`: it could not unpack the image; the rest as in {@link Absence}. */
  status: 'measured' | 'failed' | Absence['status'];
  /** Why it was not measured. */
  reason?: string;
  /** What to type to have it. */
  install?: string;
  samples: Sample[];
  /** Of `samples`: wall and processor time in milliseconds, memory in bytes. */
  wall?: Statistics;
  cpu?: Statistics;
  maxRss?: Statistics;
  /** Paths compared, how many differ, and the first of those. */
  paths: number;
  differenceCount: number;
  differences: Difference[];
  /** What the comparison left out. */
  tolerance: string[];
  /** Medians of the stages, in milliseconds, summed over threads. */
  stages?: Record<string, number>;
  decoders?: string[];
  note?: string;
}

/** Rows, and the size of what was unpacked. */
export interface Measured {
  rows: Row[];
  tarBytes: number;
  files: number;
}

export interface MeasureOptions {
  /** An existing directory on the file system to measure. */
  scratch: string;
  /** Timed runs of each contender. */
  runs: number;
  /** What every result must be; by default the result of the first contender. */
  truth?: Tree;
  /** Milliseconds that a contender may take for a run; by default many times what oci-unpack took. */
  limit?: number;
  signal?: AbortSignal;
  /** Told what is being done. */
  onStep?: (text: string) => void;
}

const keptDifferences = 100;
/** A tree that differs in more than this part of its paths is no result of the same work: it has no time. */
const mostDifferences = 0.01;
/** What a contender may take for a run, in times of what oci-unpack took, and at least; then it hangs. */
const limitFactor = 50;
const leastLimitMilliseconds = 60_000;

interface Running {
  contender: Contender;
  place: Place;
  row: Row;
  facts: UnpackFacts[];
}

/** Checks and times `contenders`; the first must be able to unpack the image. */
export async function measure(
  contenders: readonly Contender[],
  image: BenchImage,
  options: MeasureOptions,
): Promise<Measured> {
  const { scratch, signal } = options;
  const all: Running[] = contenders.map((contender) => {
    const home = path.join(scratch, 'home', contender.id);
    return { contender, place: { image, home, signal }, row: emptyRow(contender), facts: [] };
  });
  try {
    return await measureAll(all, options);
  } finally {
    for (const { contender } of all) {
      await contender.close?.();
    }
  }
}

async function measureAll(all: readonly Running[], options: MeasureOptions): Promise<Measured> {
  const { onStep } = options;
  const running: Running[] = [];
  let expected: View | undefined = options.truth && { tree: options.truth, tolerance: {} };
  const named = [...(options.truth ?? [])].filter(([, { xattrs }]) => xattrs).map(([at]) => at);
  let { limit } = options;
  for (const one of all) {
    onStep?.(`checking the result of ${one.contender.title}`);
    const started = performance.now();
    const view = await check(one, named, { ...options, limit });
    if (view !== undefined) {
      const milliseconds = Math.ceil(performance.now() - started);
      limit ??= Math.max(limitFactor * milliseconds, leastLimitMilliseconds);
      expected ??= view;
      judge(one.row, expected, view);
      running.push(one);
    }
  }
  for (let run = 0; run < options.runs; run++) {
    for (const one of inRoundOrder(running, run)) {
      onStep?.(`run ${run + 1} of ${options.runs}: ${one.contender.title}`);
      await timedRun(one, { ...options, limit });
    }
  }
  for (const one of all) {
    summarize(one);
    await removeTree(one.place.home);
  }
  const { tarBytes = 0, files = 0 } = running[0]?.facts[0] ?? {};
  return { rows: all.map(({ row }) => row), tarBytes, files };
}

function emptyRow({ id, title, kind, digests, lacks }: Contender): Row {
  return {
    id,
    title,
    kind,
    digests,
    lacks,
    status: 'measured',
    samples: [],
    paths: 0,
    differenceCount: 0,
    differences: [],
    tolerance: [],
  };
}

/** A run that is not timed, and warms up the page cache; undefined where the contender does not take part. */
async function check(
  one: Running,
  xattrs: string[],
  options: MeasureOptions,
): Promise<View | undefined> {
  const { contender, row } = one;
  const destination = path.join(options.scratch, 'check');
  return attempt(one, options, destination, async (place) => {
    await mkdir(place.home, { recursive: true });
    const absence = await contender.absence(place);
    if (contender.version !== undefined) {
      row.version = contender.version;
    }
    if (absence !== undefined) {
      Object.assign(row, absence);
      return undefined;
    }
    await contender.prepare?.(place);
    await contender.begin?.(place, destination);
    const { note } = await contender.unpack(place, destination);
    if (note !== undefined) {
      row.note = note;
    }
    return contender.view(place, destination, xattrs);
  });
}

/**
 * Lets a contender work within the limit, and cleans up. One that fails or hangs has no time; where it is oci-unpack, or
 * everything is to stop, this throws.
 */
async function attempt<T>(
  { contender, place, row }: Running,
  { signal, limit }: MeasureOptions,
  destination: string,
  work: (place: Place) => Promise<T>,
): Promise<T | undefined> {
  signal?.throwIfAborted();
  const late = limit === undefined ? undefined : AbortSignal.timeout(limit);
  const stop = AbortSignal.any([signal, late].filter((one) => one !== undefined));
  try {
    return await work({ ...place, signal: stop });
  } catch (error) {
    signal?.throwIfAborted();
    if (contender.kind === 'ours') {
      throw error;
    }
    row.status = 'failed';
    row.samples = [];
    row.reason = error instanceof Error ? error.message : String(error);
    if (late?.aborted) {
      row.reason = `no end after ${Math.round((limit ?? 0) / 1000)} s`;
    }
    return undefined;
  } finally {
    await cleanUp(contender, place, destination);
  }
}

async function cleanUp(contender: Contender, place: Place, destination: string): Promise<void> {
  await contender.end?.(place, destination);
  await removeTree(destination);
  await removeTree(`${destination}.mount`);
  // What was written and removed reaches the disk now: the next one must not pay for it.
  await syncFileSystemOf(path.dirname(destination));
}

function judge(row: Row, expected: View, view: View): void {
  const tolerance = { ...expected.tolerance, ...definedOnly(view.tolerance) };
  const differences = compareTrees(expected.tree, view.tree, tolerance);
  row.paths = expected.tree.size;
  row.differenceCount = differences.length;
  row.differences = differences.slice(0, keptDifferences);
  if (differences.length > mostDifferences * row.paths) {
    const [first] = differences;
    row.status = 'failed';
    row.reason =
      `its tree is another: ${differences.length} of ${row.paths} paths differ, ` +
      `such as ${first?.path || '(root)'}: ${first?.what}`;
  }
  const { owners, time, xattrs, directories, symlinks, root } = tolerance;
  row.tolerance = [
    ...(owners ? ['owners'] : []),
    ...(time === undefined ? [] : [`mtime to ${Number(time) / 1e9} s`]),
    ...(xattrs ? ['xattrs'] : []),
    ...(directories ? ['times and modes of directories'] : []),
    ...(symlinks ? ['times of symlinks'] : []),
    ...(root ? ['time and mode of the root'] : []),
  ];
}

/** One timed run; what it leaves is removed outside of the time. */
async function timedRun(one: Running, options: MeasureOptions): Promise<void> {
  const { contender, row, facts } = one;
  if (row.status !== 'measured') {
    return;
  }
  const destination = path.join(options.scratch, 'run');
  const { Bench } = await loadTinybench();
  await attempt(one, options, destination, async (place) => {
    const bench = new Bench({
      iterations: 1,
      time: 0,
      warmup: false,
      throws: true,
      retainSamples: true,
    });
    let fact: UnpackFacts = {};
    bench.add(
      contender.id,
      async () => {
        fact = await contender.unpack(place, destination);
        return fact.wall === undefined ? undefined : { overriddenDuration: fact.wall };
      },
      { async: true, beforeEach: async () => contender.begin?.(place, destination) },
    );
    await bench.run();
    const result = bench.tasks[0]?.result;
    const wall =
      result !== undefined && 'latency' in result ? result.latency.samples?.[0] : undefined;
    if (wall !== undefined) {
      row.samples.push({ wall, ...fact.usage });
      facts.push(fact);
    }
  });
}

function summarize({ row, facts }: Running): void {
  const { samples } = row;
  if (row.status !== 'measured' || samples.length === 0) {
    return;
  }
  row.wall = statistics(samples.map(({ wall }) => wall));
  if (samples.every(({ user }) => user !== undefined)) {
    row.cpu = statistics(samples.map(({ user = 0, system = 0 }) => user + system));
  }
  if (samples.every(({ maxRss }) => maxRss)) {
    row.maxRss = statistics(samples.map(({ maxRss = 0 }) => maxRss));
  }
  const last = facts.at(-1) ?? {};
  if (last.stages !== undefined) {
    row.stages = Object.fromEntries(
      Object.keys(last.stages).map((stage) => {
        const times = facts.map(({ stages }) => stages?.[stage] ?? 0);
        return [stage, statistics(times).median];
      }),
    );
  }
  Object.assign(row, definedOnly({ decoders: last.decoders, note: row.note ?? last.note }));
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
