// The table of `bench --registry`.

import { formatBytes, plural, printable, shortDigest, table, wrap } from '../../text.js';
import { formatSeconds } from '../format.js';
import { hostLines } from '../text.js';
import type { PullBenchReport, PullResult } from './result.js';

/** The ratio that a pull is to stay below. */
const goal = 1.15;

/** The report for people. */
export function pullBenchLines(report: PullBenchReport): string[] {
  const lines = [...hostLines(report.host)];
  const references = new Set(report.results.map(({ reference }) => reference));
  for (const reference of references) {
    const results = report.results.filter((result) => result.reference === reference);
    lines.push('', ...imageLines(results));
  }
  lines.push(
    '',
    ...wrap(
      `Median of ${plural(report.runs, 'run')} in turns, each a process of its own with an empty store, from its start ` +
        'to its end. download: pull --no-unpack. unpack: of blobs that are there. ratio: the pull to the larger of ' +
        'the two. 1st byte: the same from the first byte that the registry sent, the unpack from when its store was ' +
        `open; at best 1.0, at most ${goal} wanted. Each run of ours has checked every digest and diffID.`,
    ),
  );
  return lines;
}

function imageLines(results: readonly PullResult[]): string[] {
  const [first] = results;
  if (first === undefined) {
    return [];
  }
  const title =
    `${printable(first.reference)} (${shortDigest(first.manifestDigest)}): ` +
    `${plural(first.layers, 'layer')}, ${formatBytes(first.size)} compressed`;
  const cells = results.map(({ rate, rows, ratio, ratioFromFirstByte, speedup }) => [
    rate === 0 ? 'unthrottled' : `${rate} Mbit/s`,
    ...rows.map(({ wall }) => (wall === undefined ? '' : formatSeconds(wall.median))),
    ratio.toFixed(2),
    ratioFromFirstByte?.toFixed(2) ?? '',
    speedup === undefined ? '' : `${speedup.toFixed(1)}x`,
  ]);
  const head = ['', 'download', 'unpack', 'pull', 'containerd', 'ratio', '1st byte', 'speed-up'];
  const drawn = table([head, ...cells], ['<', '>', '>', '>', '>', '>', '>', '>']).split('\n');
  const containerd = first.rows.find(({ id }) => id === 'containerd');
  const about = containerd?.reason ?? containerd?.version;
  const note = about === undefined ? [] : wrap(`containerd: ${printable(about)}`);
  return [...wrap(title), '', ...drawn, '', ...note];
}
