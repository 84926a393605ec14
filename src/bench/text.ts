// The bench's and the demo's tables for a terminal of 80 columns.

import {
  formatBytes,
  formatCount,
  formatDuration,
  plural,
  printable,
  shortDigest,
  table,
  wrap,
} from '../cli/text.js';
import type { BenchHost } from './host.js';
import type { Row } from './measure.js';
import type { BenchReport, ImageResult } from './run.js';

const shownDifferences = 10;

/** A bench's report as lines. */
export function benchLines(report: BenchReport): string[] {
  const lines = [...hostLines(report.host), ''];
  for (const image of report.images) {
    lines.push(
      ...wrap(
        `${printable(image.reference)} (${shortDigest(image.manifestDigest)}): ` +
          `${plural(image.layers, 'layer')}, ${plural(image.files, 'file')}, ` +
          `${formatBytes(image.tarBytes)} of tar, ${formatBytes(image.size)} compressed`,
      ),
      '',
      ...rowLines(image),
      '',
      ...footnotes(image, report.runs),
    );
  }
  if (report.restricted !== undefined) {
    lines.push(...wrap(`note: ${printable(report.restricted)}`));
  }
  return lines;
}

/** The machine, and what to know of its file system. */
export function hostLines(host: BenchHost): string[] {
  const decoder = host.decoder === 'isa-l' ? 'ISA-L' : `${host.decoder} (ISA-L is not installed)`;
  const lines = wrap(
    `${host.cpu}, ${plural(host.workers, 'thread')}, ${formatBytes(host.memory)}, ` +
      `${host.distribution}, Linux ${host.kernel}, Node ${host.node}, gzip by ${decoder}, ` +
      `on ${host.fileSystem.type}`,
  );
  const { warning } = host.fileSystem;
  return warning === undefined ? lines : [...lines, ...wrap(`warning: ${warning}`)];
}

/** The table of one image; the speed-up is against the slowest. */
export function rowLines({ rows, tarBytes, files }: ImageResult): string[] {
  const slowest = Math.max(...rows.map((row) => row.statistics.median));
  const cells = rows.map((row) => {
    const { median, spread } = row.statistics;
    const seconds = median / 1000;
    const different = row.differences.length === 0 ? 'none' : formatCount(row.differences.length);
    return [
      row.lacks.length > 0 ? `${row.title} *` : row.title,
      formatDuration2(median),
      `±${formatDuration2(spread)}`,
      formatCount(Math.round(tarBytes / 2 ** 20 / seconds)),
      formatCount(Math.round(files / seconds)),
      `${(slowest / median).toFixed(1)}x`,
      different,
    ];
  });
  const head = ['', 'time', 'spread', 'MiB/s', 'files/s', 'speed-up', 'differences'];
  return table([head, ...cells], ['<', '>', '>', '>', '>', '>', '>']).split('\n');
}

/** What stands below the table: how it was measured, what rows lack, and the differences found. */
export function footnotes({ rows }: ImageResult, runs: number): string[] {
  const checked = rows.every((row) => row.digests) ? ', both sha256 of each layer checked' : '';
  const lines = wrap(
    `Median of ${plural(runs, 'run')} in turns, warm page cache${checked}. Each result was ` +
      `compared path by path (${formatCount(rows[0]?.paths ?? 0)} paths) before it was timed.`,
  );
  const texts = new Map<string, string[]>();
  for (const row of rows.filter(({ lacks }) => lacks.length > 0)) {
    const text = row.lacks.join(', ');
    texts.set(text, [...(texts.get(text) ?? []), row.title]);
  }
  for (const [text, titles] of texts) {
    lines.push(...wrap(`* ${titles.join(' and ')}: without ${text}`));
  }
  for (const row of rows.filter(({ differences }) => differences.length > 0)) {
    lines.push(...differenceLines(row));
  }
  return lines;
}

function differenceLines({ title, differences }: Row): string[] {
  const lines = [`${title}, ${plural(differences.length, 'difference')}:`];
  for (const { path, what } of differences.slice(0, shownDifferences)) {
    lines.push(`  ${printable(path) || '(root)'}: ${what}`);
  }
  if (differences.length > shownDifferences) {
    lines.push(`  and ${formatCount(differences.length - shownDifferences)} more`);
  }
  return lines;
}

/** Seconds with three significant digits or so: `0.312 s`, `4.21 s`. */
function formatDuration2(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  return seconds < 100 ? `${seconds.toFixed(seconds < 1 ? 3 : 2)} s` : formatDuration(milliseconds);
}
