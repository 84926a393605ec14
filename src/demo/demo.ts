// The demo: the main job on real input. An image is made of this machine's own files, unpacked by oci-unpack and in
// pure JavaScript, and every path of both results is compared with what went in.

import path from 'node:path';
import { describeHost } from '../bench/host.js';
import { withBenchImage } from '../bench/image.js';
import { type Measured, measure } from '../bench/measure.js';
import { probeOwnMode } from '../bench/ours.js';
import { withScratch } from '../bench/scratch.js';
import { footnotes, hostLines, rowLines } from '../bench/text.js';
import { formatBytes, formatCount, plural, printable, table, wrap } from '../text.js';
import { demoContenders } from './contenders.js';
import { type DemoBlob, makeDemoImage } from './image.js';

/** Options of {@link runDemo}. */
export interface DemoOptions {
  /** Where to work; default: a tmpfs with room, else $TMPDIR. */
  directory?: string;
  /** Timed runs of each contender. Default 3. */
  runs?: number;
  signal?: AbortSignal;
  /** Told what is being done, for progress. */
  onStep?: (text: string) => void;
}

/** The image, and both rows: oci-unpack first. */
export interface DemoResult extends Measured {
  reference: string;
  manifestDigest: string;
  layers: number;
  /** Bytes of all blobs. */
  size: number;
}

/** What {@link runDemo} resolves to; `--json` prints it. */
export interface DemoReport {
  host: ReturnType<typeof describeHost>;
  /** Layers of the image, bottom first. */
  layers: DemoBlob[];
  result: DemoResult;
  runs: number;
  /** How the result of oci-unpack was looked at. */
  view: 'overlayfs' | 'merged';
  /** Why not by overlayfs. */
  why?: string;
  /** Whether no path differs. */
  equal: boolean;
}

/** Runs the demo; everything it made is removed again. */
export async function runDemo(options: DemoOptions = {}): Promise<DemoReport> {
  const { directory, runs = 3, signal, onStep } = options;
  return withScratch(directory, signal, async (scratch) => {
    onStep?.('making an image of real files');
    const image = await makeDemoImage(path.join(scratch, 'image'), { signal });
    const settings = { scratch, runs, signal, onStep, truth: image.truth };
    const { result, restricted } = await withBenchImage(image.reference, async (opened) => {
      onStep?.('looking what this process may do');
      const mode = await probeOwnMode(opened, scratch, signal);
      const measured = await measure(demoContenders(mode), opened, settings);
      const { reference, manifestDigest, layers, size } = opened;
      const facts = { reference, manifestDigest, layers: layers.length, size };
      return { result: { ...facts, ...measured }, restricted: mode.why };
    });
    return {
      host: describeHost(scratch),
      layers: image.layers,
      result,
      runs,
      view: restricted === undefined ? 'overlayfs' : 'merged',
      ...(restricted !== undefined && { why: restricted }),
      equal: result.rows.every((row) => row.differences.length === 0),
    };
  });
}

/** The report as lines of at most 80 columns. */
export function demoLines(report: DemoReport): string[] {
  const { layers, result, host } = report;
  const sum =
    `${plural(layers.length, 'layer')}, ${plural(result.files, 'file')}, ` +
    `${formatBytes(result.tarBytes)} of tar, ${formatBytes(result.size)} of gzip`;
  const rows = layers.map(({ title, uncompressedSize, entries }) => [
    `  ${title}`,
    formatBytes(uncompressedSize),
    `${formatCount(entries)} entries`,
  ]);
  const seen =
    report.view === 'overlayfs'
      ? 'The result of oci-unpack was seen through an overlayfs mount.'
      : `The layers were merged for the comparison without a mount (${printable(report.why ?? '')}).`;
  return [
    ...hostLines(host),
    '',
    `Image of real files of this machine: ${sum}`,
    ...table(rows, ['<', '>', '>']).split('\n'),
    '',
    ...rowLines(result),
    '',
    ...footnotes(result, report.runs),
    ...wrap(seen),
  ];
}
