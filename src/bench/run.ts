// The command `bench`, first form: oci-unpack against the pure JavaScript apply, on the demo's image or on given ones.

import path from 'node:path';
import { makeDemoImage } from '../demo/image.js';
import type { Tree } from '../demo/tree.js';
import { version } from '../index.js';
import { type BenchHost, describeHost } from './host.js';
import { withBenchImage } from './image.js';
import { javaScriptContender } from './javascript.js';
import { type MeasureOptions, measure, type Row } from './measure.js';
import { ownContender, probeOwnMode } from './ours.js';
import { withScratch } from './scratch.js';

/** Options of {@link runBench}. */
export interface BenchOptions {
  /** References of images; none: the demo's image is made. */
  images?: readonly string[];
  /** Where to work, which is the file system that is measured; default: a tmpfs with room, else $TMPDIR. */
  directory?: string;
  /** Timed runs of each contender. Default 5. */
  runs?: number;
  /** One run on a small image: only to see that everything works. */
  smoke?: boolean;
  signal?: AbortSignal;
  /** Told what is being done, for progress. */
  onStep?: (text: string) => void;
}

/** The rows of one image. */
export interface ImageResult {
  reference: string;
  manifestDigest: string;
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

/** What {@link runBench} resolves to; `--json` prints it. */
export interface BenchReport {
  /** Version of this form. */
  schema: 1;
  version: string;
  /** RFC 3339. */
  date: string;
  host: BenchHost;
  runs: number;
  /** Why oci-unpack could not do all that it can; undefined where it could. */
  restricted?: string;
  images: ImageResult[];
  /** Whether all trees were equal; times of unequal ones mean nothing. */
  equal: boolean;
}

/** Measures; see {@link BenchOptions}. */
export async function runBench(options: BenchOptions = {}): Promise<BenchReport> {
  const { images = [], directory, smoke = false, signal, onStep } = options;
  const runs = smoke ? 1 : (options.runs ?? 5);
  return withScratch(directory, signal, async (scratch) => {
    const settings = { scratch, runs, signal, onStep };
    const results: MeasuredImage[] = [];
    if (images.length === 0) {
      onStep?.('making an image of real files');
      const made = await makeDemoImage(path.join(scratch, 'image'), { small: smoke, signal });
      results.push(await measureImage(made.reference, { ...settings, truth: made.truth }));
    }
    for (const reference of images) {
      results.push(await measureImage(reference, settings));
    }
    const restricted = results.find((result) => result.restricted)?.restricted;
    return {
      schema: 1,
      version,
      date: new Date().toISOString(),
      host: describeHost(scratch),
      runs,
      ...(restricted !== undefined && { restricted }),
      images: results.map(({ result }) => result),
      equal: results.every(({ result }) =>
        result.rows.every((row) => row.differences.length === 0),
      ),
    };
  });
}

/** The result of an image, and what this process was not allowed to do. */
export interface MeasuredImage {
  result: ImageResult;
  restricted: string | undefined;
}

/** Checks and times all contenders on one image. */
export async function measureImage(
  reference: string,
  options: MeasureOptions & { truth?: Tree },
): Promise<MeasuredImage> {
  return withBenchImage(reference, async (image) => {
    options.onStep?.('looking what this process may do');
    const mode = await probeOwnMode(image, options.scratch, options.signal);
    const contenders = [
      ownContender(mode),
      javaScriptContender('async', mode.privileged),
      javaScriptContender('sync', mode.privileged),
    ];
    const rows = await measure(contenders, image, options);
    const { tarBytes = 0, files = 0 } = rows[0]?.facts ?? {};
    const { manifestDigest, layers, size } = image;
    return {
      result: { reference, manifestDigest, layers: layers.length, size, tarBytes, files, rows },
      restricted: mode.why,
    };
  });
}
