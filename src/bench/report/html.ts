// The report as one HTML file: figures, charts, tables and the host, without anything from the network.

import { formatBytes, formatCount, plural } from '../../text.js';
import {
  cpuToFloor,
  floorRow,
  formatRatio,
  formatSeconds,
  hostWarnings,
  remarks,
  toFloor,
} from '../format.js';
import type { Row } from '../measure.js';
import type { BenchReport, ImageResult } from '../run.js';
import { stageChart } from './stage-chart.js';
import { stripChart } from './strip-chart.js';
import { styleSheet } from './style.js';
import { element, escapeHtml } from './svg.js';

/** The whole document. */
export function htmlReport(report: BenchReport): string {
  const { host, restricted } = report;
  const body = [
    element('h1', {}, 'What unpacking costs here'),
    element(
      'p',
      { class: 'soft' },
      escapeHtml(
        `oci-unpack ${report.version} bench, ${report.date.slice(0, 16).replace('T', ' ')} UTC, ` +
          `${plural(report.runs, 'run')} of each`,
      ),
    ),
    ...hostWarnings(host).map((warning) => element('p', { class: 'warn' }, escapeHtml(warning))),
    ...(restricted === undefined ? [] : [element('p', { class: 'warn' }, escapeHtml(restricted))]),
    ...report.images.map((image) => imageSection(image, host.workers)),
    element('h2', {}, 'The host'),
    hostBlock(report),
    element('h2', {}, 'How it was measured'),
    method(report),
  ];
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8"/>',
    '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
    `<title>oci-unpack bench ${escapeHtml(report.date.slice(0, 10))}</title>`,
    `<style>${styleSheet}</style></head>`,
    `<body><main>\n${body.join('\n')}\n</main></body></html>\n`,
  ].join('\n');
}

function imageSection(image: ImageResult, workers: number): string {
  const facts =
    `${plural(image.layers, 'layer')}, ${plural(image.files, 'file')}, ` +
    `${formatBytes(image.tarBytes)} of tar, ${formatBytes(image.size)} compressed`;
  const stages = stageChart(image, workers);
  return [
    element('h2', {}, escapeHtml(image.reference)),
    element('p', { class: 'soft' }, escapeHtml(facts)),
    element('p', { class: 'soft' }, element('code', {}, escapeHtml(image.manifestDigest))),
    figures(image),
    element(
      'h3',
      {},
      'Wall time: every run a dot, the median a line; at the right, times the floor',
    ),
    element('div', { class: 'card' }, stripChart(image)),
    ...(stages === ''
      ? []
      : [
          element('h3', {}, `Where the time goes, summed over ${plural(workers, 'thread')}`),
          element('div', { class: 'card' }, stages),
        ]),
    element('h3', {}, 'Figures'),
    element('div', { class: 'wide' }, figureTable(image)),
    remarkTable(image),
  ].join('\n');
}

/** The few numbers that say most. */
function figures(image: ImageResult): string {
  const own = image.rows.find(({ kind, wall }) => kind === 'ours' && wall !== undefined);
  if (own?.wall === undefined) {
    return '';
  }
  const seconds = own.wall.median / 1000;
  const ratio = toFloor(own, image);
  const cells: [string, string][] = [
    [formatSeconds(own.wall.median), 'median wall time'],
    ...(ratio === undefined ? [] : [[formatRatio(ratio), 'of the floor'] as [string, string]]),
    [`${formatCount(Math.round(image.tarBytes / 2 ** 20 / seconds))} MiB/s`, 'of tar'],
    [formatCount(Math.round(image.files / seconds)), 'files a second'],
    ...(own.cpu === undefined
      ? []
      : [[formatSeconds(own.cpu.median), 'processor time'] as [string, string]]),
    ...(own.maxRss === undefined
      ? []
      : [[formatBytes(own.maxRss.median), 'peak memory'] as [string, string]]),
  ];
  return element(
    'div',
    { class: 'figures' },
    cells
      .map(([value, name]) =>
        element(
          'div',
          { class: 'figure' },
          `<b>${escapeHtml(value)}</b><span>${escapeHtml(name)}</span>`,
        ),
      )
      .join(''),
  );
}

function figureTable(image: ImageResult): string {
  const head = [
    'contender',
    'median',
    'least',
    'most',
    '× floor',
    'CPU',
    '× floor',
    'memory',
    'MiB/s',
    'files/s',
    'differences',
  ];
  const rows = image.rows.filter(({ wall }) => wall !== undefined);
  const body = rows.map((row) =>
    element(
      'tr',
      { class: row.kind },
      figureCells(row, image)
        .map((cell) => `<td>${escapeHtml(cell)}</td>`)
        .join(''),
    ),
  );
  const heads = head.map((name) => `<th>${escapeHtml(name)}</th>`).join('');
  return `<table><thead><tr>${heads}</tr></thead><tbody>${body.join('\n')}</tbody></table>`;
}

function figureCells(row: Row, image: ImageResult): string[] {
  const { median = 0, min = 0, max = 0 } = row.wall ?? {};
  const seconds = median / 1000;
  const ratio = toFloor(row, image);
  const cpuRatio = cpuToFloor(row, image);
  return [
    row.lacks.length > 0 && row.kind !== 'floor' ? `${row.title} *` : row.title,
    formatSeconds(median),
    formatSeconds(min),
    formatSeconds(max),
    ratio === undefined ? '' : formatRatio(ratio),
    row.cpu === undefined ? '' : formatSeconds(row.cpu.median),
    cpuRatio === undefined ? '' : formatRatio(cpuRatio),
    row.maxRss === undefined ? '' : formatBytes(row.maxRss.median),
    formatCount(Math.round(image.tarBytes / 2 ** 20 / seconds)),
    formatCount(Math.round(image.files / seconds)),
    row.differenceCount === 0 ? 'none' : formatCount(row.differenceCount),
  ];
}

/** Who does less, who was not there, and versions. */
function remarkTable(image: ImageResult): string {
  const rows = image.rows.map((row) => {
    const texts = row.wall === undefined ? [absence(row)] : remarks(row);
    const tolerance =
      row.wall !== undefined && row.tolerance.length > 0
        ? [`not compared: ${row.tolerance.join(', ')}`]
        : [];
    const remark = [...texts, ...tolerance].join('; ') || 'the whole work, every path equal';
    const cells = [row.version ?? '', remark].map(
      (cell) => `<td class="text">${escapeHtml(cell)}</td>`,
    );
    return element('tr', { class: row.kind }, `<td>${escapeHtml(row.title)}</td>${cells.join('')}`);
  });
  const heads = ['contender', 'version', 'what to know']
    .map((name) => `<th style="text-align:left">${name}</th>`)
    .join('');
  return [
    element('h3', {}, 'Who they are, and what they leave out (*)'),
    `<div class="wide"><table><thead><tr>${heads}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`,
  ].join('\n');
}

function absence({ status, reason = '', install }: Row): string {
  const what = status === 'failed' ? 'failed' : 'not measured';
  return `${what}: ${reason}${install === undefined ? '' : `; to have it: ${install}`}`;
}

function hostBlock({ host }: BenchReport): string {
  const facts: [string, string][] = [
    ['processor', `${host.cpu}, ${host.cores} of them, ${plural(host.workers, 'thread')} used`],
    ['memory', formatBytes(host.memory)],
    ['system', `${host.distribution}, Linux ${host.kernel}`],
    ['file system', `${host.fileSystem.type} (${host.fileSystem.options.join(', ')})`],
    ['Node', host.node],
    ['decoders', `gzip by ${host.decoder}, zstd ${host.zstd}`],
    ['load at the beginning', host.load.toFixed(2)],
  ];
  const items = facts
    .map(([name, value]) => `<dt>${name}</dt><dd>${escapeHtml(value)}</dd>`)
    .join('');
  return element('div', { class: 'card' }, `<dl>${items}</dl>`);
}

function method({ images }: BenchReport): string {
  const floor = images.some((image) => floorRow(image) !== undefined)
    ? ' The floor is inflating, both sha256 and the bare system calls of the same image, each timed alone by ' +
      'a native program and then spread over all processors without a gap, but for what cannot be split: it is ' +
      'what no unpacker on this host can pass.'
    : '';
  const text =
    'Contenders take turns on the same image and file system; each run is a process of its own, with a warm ' +
    'page cache; cleaning up is not timed. Before that, what each of them wrote was compared path by path: ' +
    'type, mode, owner, time, content, links, and extended attributes where they can be seen. Nothing is ' +
    'synced to disk by anyone. Memory is the peak of the largest process; of containerd that of the daemon.';
  return `<p>${escapeHtml(text + floor)}</p>`;
}
