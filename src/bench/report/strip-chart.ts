// Every sample of every contender as a dot, its median as a line, the floor as a line through all: SVG.

import { formatRatio, formatSeconds, toFloor } from '../format.js';
import type { Row } from '../measure.js';
import type { ImageResult } from '../run.js';
import { element, label, ticks } from './svg.js';

const width = 860;
const left = 176;
const right = 150;
const rowHeight = 26;
const top = 12;
const axisHeight = 34;
/** From this ratio of slowest to fastest on a linear axis would hide the fast ones. */
const logFrom = 12;

/** The chart of wall times. */
export function stripChart(image: ImageResult): string {
  const rows = image.rows.filter(({ samples }) => samples.length > 0);
  const all = rows.flatMap(({ samples }) => samples.map(({ wall }) => wall / 1000));
  if (all.length === 0) {
    return '';
  }
  const log = Math.max(...all) / Math.min(...all) > logFrom;
  const least = log ? Math.min(...all) * 0.85 : 0;
  const most = Math.max(...all) * 1.06;
  const x = (seconds: number) => {
    const part = log
      ? Math.log(seconds / least) / Math.log(most / least)
      : (seconds - least) / (most - least);
    return left + part * (width - left - right);
  };
  const bottom = top + rows.length * rowHeight;
  const axis = ticks(least, most, log).map((tick) => {
    const line = { x1: x(tick), x2: x(tick), y1: top, y2: bottom, class: 'grid' };
    const text = label(x(tick), bottom + 16, tickText(tick), { anchor: 'middle', style: 'axis' });
    return element('line', line) + text;
  });
  const unit = log ? 'seconds, logarithmic' : 'seconds';
  const floor = rows.find(({ kind }) => kind === 'floor')?.wall?.median;
  return element(
    'svg',
    {
      viewBox: `0 0 ${width} ${bottom + axisHeight}`,
      role: 'img',
      'aria-label': 'Wall time of every run',
    },
    [
      ...axis,
      label((left + width - right) / 2, bottom + 31, unit, { anchor: 'middle', style: 'axis' }),
      ...(floor === undefined
        ? []
        : [
            element('line', {
              x1: x(floor / 1000),
              x2: x(floor / 1000),
              y1: top,
              y2: bottom,
              class: 'floor-line',
            }),
          ]),
      ...rows.map((row, index) => stripRow(row, image, top + (index + 0.5) * rowHeight, x)),
    ].join('\n'),
  );
}

function stripRow(row: Row, image: ImageResult, y: number, x: (seconds: number) => number): string {
  const median = (row.wall?.median ?? 0) / 1000;
  const ratio = toFloor(row, image);
  const value = formatSeconds(median * 1000);
  const dots = row.samples.map(({ wall }, index) => {
    // Side by side where they would hide each other.
    const shift = row.samples.length > 1 ? (index / (row.samples.length - 1) - 0.5) * 11 : 0;
    const title = element('title', {}, `run ${index + 1}: ${formatSeconds(wall)}`);
    return element('circle', { cx: x(wall / 1000), cy: y + shift, r: 3.4 }, title);
  });
  const star = row.lacks.length > 0 && row.kind !== 'floor' ? ' *' : '';
  return element(
    'g',
    { class: `row ${row.kind}` },
    [
      label(left - 12, y + 4, row.title + star, { anchor: 'end', style: 'label name' }),
      element('line', { x1: left, x2: x(median), y1: y, y2: y, class: 'stem' }),
      element('line', { x1: x(median), x2: x(median), y1: y - 9, y2: y + 9, class: 'median' }),
      ...dots,
      label(width - right + 66, y + 4, value, { anchor: 'end', style: 'label value' }),
      ...(ratio === undefined
        ? []
        : [label(width - 6, y + 4, formatRatio(ratio), { anchor: 'end', style: 'label ratio' })]),
    ].join(''),
  );
}

function tickText(seconds: number): string {
  return seconds >= 1 || seconds === 0
    ? String(Number(seconds.toFixed(1)))
    : seconds.toPrecision(1);
}
