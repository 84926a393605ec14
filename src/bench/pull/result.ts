// The result of `bench --registry`, and what is computed from its samples. docs/benchmark.md says what is compared.

import type { BenchHost } from '../host.js';
import type { Usage } from '../process.js';
import { type Statistics, statistics } from '../statistics.js';

export interface PullSample extends Partial<Usage> {
  /** Milliseconds from the start of the process to its end. */
  wall: number;
  /** Of what asks a registry behind the throttle: milliseconds from the first byte that came back to the end of the process. */
  fromFirstByte?: number;
  /** Of the unpack, which asks none: milliseconds of the call alone, with the store open, as its report says. */
  call?: number;
}

/** One of download, unpack, pull, containerd. */
export interface PullRow {
  id: (typeof ids)[number];
  version?: string;
  /** Why it was not measured. */
  reason?: string;
  samples: PullSample[];
  /** Of the samples. */
  wall?: Statistics;
  fromFirstByte?: Statistics;
  call?: Statistics;
}

/** An image at one speed. */
export interface PullResult {
  reference: string;
  manifestDigest: string;
  layers: number;
  /** Bytes of the layers' blobs. */
  size: number;
  /** Mbit/s; 0 is as fast as it goes. */
  rate: number;
  rows: PullRow[];
  /** The pull to the larger of download and unpack, medians. */
  ratio: number;
  /**
   * The same without the starts: the pull's time from its first byte to the larger of the download's and the unpack's call.
   * Undefined where there was no throttle.
   */
  ratioFromFirstByte?: number;
  /** containerd's pull to ours, where it was measured. */
  speedup?: number;
}

/** What {@link runPullBench} resolves to. */
export interface PullBenchReport {
  kind: 'oci-unpack-bench-registry';
  schema: 1;
  version: string;
  /** RFC 3339. */
  date: string;
  host: BenchHost;
  registry: string;
  runs: number;
  results: PullResult[];
}

const ids = ['download', 'unpack', 'pull', 'containerd'] as const;
const times = ['wall', 'fromFirstByte', 'call'] as const;

/** The rows with the statistics of their samples, and how they compare. */
export function summary(
  measured: readonly PullRow[],
): Pick<PullResult, 'rows' | 'ratio' | 'ratioFromFirstByte' | 'speedup'> {
  const rows = measured.map((row): PullRow => {
    const { samples, ...rest } = row;
    const of = (key: (typeof times)[number]) =>
      samples.map((sample) => sample[key]).filter((time) => time !== undefined);
    const known = times.filter((key) => samples.length > 0 && of(key).length === samples.length);
    return {
      ...rest,
      samples,
      ...Object.fromEntries(known.map((key) => [key, statistics(of(key))])),
    };
  });
  const row = (id: PullRow['id']) => rows.find((one) => one.id === id);
  const [download, unpack, pull, containerd] = ids.map(row);
  const longest = (...medians: (Statistics | undefined)[]) =>
    Math.max(...medians.map((one) => one?.median ?? 0));
  const wall = pull?.wall?.median ?? 0;
  const fromFirstByte = pull?.fromFirstByte?.median;
  return {
    rows,
    ratio: wall / longest(download?.wall, unpack?.wall),
    ...(fromFirstByte !== undefined && {
      ratioFromFirstByte: fromFirstByte / longest(download?.fromFirstByte, unpack?.call),
    }),
    ...(containerd?.wall !== undefined && { speedup: containerd.wall.median / wall }),
  };
}
