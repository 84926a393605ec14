// The bench's and the demo's tables for a terminal of 80 columns.

import {
  bar,
  formatBytes,
  formatCount,
  plural,
  printable,
  shortDigest,
  shorten,
  table,
  truncate,
  wrap,
} from '../text.js';
import {
  cpuToFloor,
  formatRatio,
  formatSeconds,
  hostWarnings,
  remarks,
  stagesOf,
  toFloor,
} from './format.js';
import type { BenchHost } from './host.js';
import type { Measured, Row } from './measure.js';
import type { BenchReport, ImageResult } from './run.js';

const barWidth = 8;
const titleWidth = 20;
const shownDifferences = 10;
const maxReason = 200;

/** A bench's report as lines. */
export function benchLines(report: BenchReport): string[] {
  const lines = [...hostLines(report.host)];
  for (const image of report.images) {
    lines.push(
      '',
      ...wrap(
        `${printable(image.reference)} (${shortDigest(image.manifestDigest)}): ` +
          `${plural(image.layers, 'layer')}, ${plural(image.files, 'file')}, ` +
          `${formatBytes(image.tarBytes)} of tar, ${formatBytes(image.size)} compressed`,
      ),
      '',
      ...tableLines(image),
      '',
      ...absentLines(image),
      ...ownLines(image, report.host.workers),
      '',
      ...methodLines(image, report.runs),
      ...remarkLines(image),
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
  return [...lines, ...hostWarnings(host).flatMap((warning) => wrap(`warning: ${warning}`))];
}

/** Everybody who was measured: time with a bar, times the floor, processor time and memory. */
function tableLines(image: ImageResult): string[] {
  const rows = image.rows.filter(({ wall }) => wall !== undefined);
  const slowest = Math.max(...rows.map((row) => row.wall?.median ?? 0));
  const cells = rows.map((row) => {
    const { median = 0, spread = 0 } = row.wall ?? {};
    const ratio = toFloor(row, image);
    const cpuRatio = cpuToFloor(row, image);
    return [
      truncate(row.title, titleWidth - 2) + mark(row),
      formatSeconds(median),
      `±${((spread / median) * 100).toFixed(0)}%`,
      bar(median / slowest, barWidth).replaceAll('░', ' '),
      ratio === undefined ? '' : formatRatio(ratio),
      row.cpu === undefined ? '' : formatSeconds(row.cpu.median),
      cpuRatio === undefined ? '' : formatRatio(cpuRatio),
      row.maxRss === undefined ? '' : `${Math.round(row.maxRss.median / 2 ** 20)}M`,
    ];
  });
  const head = ['', 'time', '', '', 'x floor', 'CPU', 'x floor', 'RSS'];
  return table([head, ...cells], ['<', '>', '>', '<', '>', '>', '>', '>']).split('\n');
}

/** `*`: less work; `!`: its tree differs. */
function mark(row: Row): string {
  const less = row.lacks.length > 0 && row.kind !== 'floor' ? ' *' : '';
  return row.differenceCount > 0 ? `${less || ' '}!` : less;
}

/** Who did not take part, and what to type. */
function absentLines({ rows }: ImageResult): string[] {
  const absent = rows.filter(({ wall }) => wall === undefined);
  return absent.flatMap(({ title, status, reason, install }) => {
    const what = status === 'failed' ? 'failed' : 'not measured';
    const fix = install === undefined ? '' : `; to have it: ${install}`;
    const why = shorten(printable(reason ?? ''), maxReason);
    return wrap(`${title}: ${what}: ${why}${fix}`);
  });
}

/** Our own run in detail. */
function ownLines(image: ImageResult, workers: number): string[] {
  const row = image.rows.find(({ kind }) => kind === 'ours');
  const stages = row === undefined ? [] : stagesOf(row, workers);
  if (row?.wall === undefined || stages.length === 0) {
    return [];
  }
  const seconds = row.wall.median / 1000;
  const total = stages.reduce((sum, { time }) => sum + time, 0);
  const cells = stages.map(({ name, time }) => [
    `  ${name}`,
    formatSeconds(time),
    `${((time / total) * 100).toFixed(0)}%`,
    bar(time / total, 40).replaceAll('░', ' '),
  ]);
  return [
    ...wrap(
      `${row.title}: ${formatCount(Math.round(image.tarBytes / 2 ** 20 / seconds))} MiB/s of tar, ` +
        `${formatCount(Math.round(image.files / seconds))} files/s, ` +
        `${(row.decoders ?? []).join(', ')}; its stages, summed over ${plural(workers, 'thread')}:`,
    ),
    ...table(cells, ['<', '>', '>', '<']).split('\n'),
  ];
}

function methodLines(image: ImageResult, runs: number): string[] {
  const [first] = image.rows;
  return wrap(
    `Median of ${plural(runs, 'run')} in turns (± median deviation), each a process of its own, warm page ` +
      `cache, clean-up not timed. Every tree was compared (${formatCount(first?.paths ?? 0)} paths).`,
  );
}

/** What rows leave out, those with the same remark together. */
function remarkLines({ rows }: ImageResult): string[] {
  const texts = new Map<string, string[]>();
  for (const row of rows.filter(({ wall }) => wall !== undefined)) {
    for (const remark of remarks(row)) {
      texts.set(remark, [...(texts.get(remark) ?? []), row.title]);
    }
  }
  return [...texts].flatMap(([text, titles]) => wrap(`${titles.join('; ')}: ${printable(text)}`));
}

/** The demo's table of one image; the speed-up is against the slowest. */
export function rowLines({ rows, tarBytes, files }: Measured): string[] {
  const measured = rows.filter(({ wall }) => wall !== undefined);
  const slowest = Math.max(...measured.map((row) => row.wall?.median ?? 0));
  const cells = measured.map((row) => {
    const { median = 0, spread = 0 } = row.wall ?? {};
    const seconds = median / 1000;
    const different = row.differenceCount === 0 ? 'none' : formatCount(row.differenceCount);
    return [
      row.lacks.length > 0 ? `${row.title} *` : row.title,
      formatSeconds(median),
      `±${formatSeconds(spread)}`,
      formatCount(Math.round(tarBytes / 2 ** 20 / seconds)),
      formatCount(Math.round(files / seconds)),
      `${(slowest / median).toFixed(1)}x`,
      different,
    ];
  });
  const head = ['', 'time', 'spread', 'MiB/s', 'files/s', 'speed-up', 'differences'];
  return table([head, ...cells], ['<', '>', '>', '>', '>', '>', '>']).split('\n');
}

/** What stands below the demo's table: how it was measured, what rows lack, and the differences found. */
export function footnotes({ rows }: Measured, runs: number): string[] {
  const checked = rows.every((row) => row.digests) ? ', both sha256 of each layer checked' : '';
  const lines = wrap(
    `Median of ${plural(runs, 'run')} in turns, warm page cache${checked}. Each ` +
      `result was compared path by path (${formatCount(rows[0]?.paths ?? 0)} paths) before it was timed.`,
  );
  const texts = new Map<string, string[]>();
  for (const row of rows.filter(({ lacks }) => lacks.length > 0)) {
    const text = row.lacks.join(', ');
    texts.set(text, [...(texts.get(text) ?? []), row.title]);
  }
  for (const [text, titles] of texts) {
    lines.push(...wrap(`* ${titles.join(' and ')}: without ${text}`));
  }
  for (const row of rows.filter(({ status }) => status !== 'measured')) {
    lines.push(...wrap(`${row.title}: ${printable(row.reason ?? row.status)}`));
  }
  for (const row of rows.filter(({ differenceCount }) => differenceCount > 0)) {
    lines.push(...differenceLines(row));
  }
  return lines;
}

function differenceLines({ title, differences, differenceCount }: Row): string[] {
  const lines = [`${title}, ${plural(differenceCount, 'difference')}:`];
  for (const { path, what } of differences.slice(0, shownDifferences)) {
    lines.push(`  ${printable(path) || '(root)'}: ${what}`);
  }
  if (differenceCount > shownDifferences) {
    lines.push(`  and ${formatCount(differenceCount - shownDifferences)} more`);
  }
  return lines;
}
