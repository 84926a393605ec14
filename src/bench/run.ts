// The command `bench`: oci-unpack, the pure JavaScript apply, what else the host has, and the floor, on the demo's
// image or on given ones.

import path from 'node:path';
import { makeDemoImage } from '../demo/image.js';
import type { Tree } from '../demo/tree.js';
import { version } from '../index.js';
import { type BenchHost, describeHost } from './host.js';
import { withBenchImage } from './image.js';
import { type MeasureOptions, measure, type Row } from './measure.js';
import { probeOwnMode } from './ours.js';
import { allContenders, checkPeers, chooseContenders } from './peers/index.js';
import { withScratch } from './scratch.js';

/** Options of {@link runBench}. */
export interface BenchOptions {
  /** References of images; none: the demo's image is made. */
  images?: readonly string[];
  /** Where to work, which is the file system that is measured; default: $TMPDIR, else a tmpfs with room, else /tmp. */
  directory?: string;
  /** Timed runs of each contender. Default 5. */
  runs?: number;
  /** Who takes part beside oci-unpack and the floor: `all` (default), `none`, or names with commas between. */
  peers?: string;
  /** One run of a few on a small image: only to see that everything works. */
  smoke?: boolean;
  signal?: AbortSignal;
  /** Told what is being done, for progress. */
  onStep?: (text: string) => void;
}

/** The rows of one image. */
export interface ImageResult {
  reference: string;
  manifestDigest: string;
  /** Digests of the layers' blobs, bottom first. */
  layerDigests: string[];
  layers: number;
  /** Bytes of all blobs. */
  size: number;
  /** Bytes of all tars. */
  tarBytes: number;
  /** Regular files. */
  files: number;
  /** oci-unpack first. */
  rows: Row[];
}

/** What {@link runBench} resolves to; `--json` prints it. docs/benchmark.md describes it. */
export interface BenchReport {
  kind: 'oci-unpack-bench';
  /** Version of this form; a reader refuses others. */
  schema: 2;
  version: string;
  /** RFC 3339. */
  date: string;
  host: BenchHost;
  runs: number;
  /** Why oci-unpack could not do all that it can; undefined where it could. */
  restricted?: string;
  images: ImageResult[];
  /** Whether the trees of all that must be exact were equal; times of unequal ones mean nothing. */
  equal: boolean;
}

/** Measures; see {@link BenchOptions}. */
export async function runBench(options: BenchOptions = {}): Promise<BenchReport> {
  const { images = [], directory, smoke = false, signal, onStep } = options;
  const runs = smoke ? 1 : (options.runs ?? 5);
  const peers = options.peers ?? (smoke ? 'javascript' : 'all');
  checkPeers(peers);
  for (const reference of images) {
    await withBenchImage(reference, async () => {}); // the last one too before minutes of measuring
  }
  return withScratch(directory, signal, async (scratch) => {
    const host = describeHost(scratch);
    const settings = { scratch, runs, peers, signal, onStep };
    const results: MeasuredImage[] = [];
    if (images.length === 0) {
      onStep?.('making an image of real files');
      const made = await makeDemoImage(path.join(scratch, 'image'), {
        small: smoke,
        forPeers: true,
        signal,
      });
      results.push(await measureImage(made.reference, { ...settings, truth: made.truth }));
    }
    for (const reference of images) {
      results.push(await measureImage(reference, settings));
    }
    const restricted = results.find((result) => result.restricted)?.restricted;
    return {
      kind: 'oci-unpack-bench',
      schema: 2,
      version,
      date: new Date().toISOString(),
      host,
      runs,
      ...(restricted !== undefined && { restricted }),
      images: results.map(({ result }) => result),
      equal: results.every(({ result }) => isEqual(result)),
    };
  });
}

/** Whether everything that must be exact was: what peers and the floor leave out is only told. */
export function isEqual({ rows }: ImageResult): boolean {
  return rows.every(
    ({ kind, differenceCount }) => kind === 'peer' || kind === 'floor' || differenceCount === 0,
  );
}

/** The result of an image, and what this process was not allowed to do. */
export interface MeasuredImage {
  result: ImageResult;
  restricted: string | undefined;
}

/**
 * Checks and times contenders on one image. `peers` as in {@link BenchOptions}; without it only oci-unpack in its
 * first form and the pure JavaScript apply.
 */
export async function measureImage(
  reference: string,
  options: MeasureOptions & { peers?: string; truth?: Tree },
): Promise<MeasuredImage> {
  return withBenchImage(reference, async (image) => {
    options.onStep?.('looking what this process may do');
    const mode = await probeOwnMode(image, options.scratch, options.signal);
    const all = allContenders(mode);
    const contenders =
      options.peers === undefined
        ? all.filter((one, index) => index === 0 || one.kind === 'javascript')
        : chooseContenders(all, options.peers);
    const { rows, tarBytes, files } = await measure(contenders, image, options);
    const { manifestDigest, layers, size } = image;
    return {
      result: {
        reference,
        manifestDigest,
        layerDigests: layers.map(({ digest }) => digest),
        layers: layers.length,
        size,
        tarBytes,
        files,
        rows,
      },
      restricted: mode.why,
    };
  });
}
