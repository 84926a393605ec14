// Where the time goes: the stages of oci-unpack's rows and of the floor as stacked bars, SVG.

import { formatSeconds, type Stage, stagesOf } from '../format.js';
import type { ImageResult } from '../run.js';
import { element, escapeHtml, label } from './svg.js';

const width = 860;
const left = 176;
const right = 84;
const rowHeight = 34;
const barHeight = 20;

/** A class of style.ts by name of a stage, the floor's parts beside what they are the least of. */
const colours: Record<string, string> = {
  read: 's1',
  inflate: 's2',
  hash: 's3',
  'sha256 of blobs': 's3',
  'sha256 of tars': 's3',
  parse: 's4',
  create: 's5',
  'system calls': 's5',
  write: 's6',
  finish: 's7',
  settle: 's8',
  waiting: 's0',
};

/** The chart, with a legend in HTML below. */
export function stageChart(image: ImageResult, workers: number): string {
  const rows = image.rows
    .map((row) => ({ title: row.title, stages: stagesOf(row, workers) }))
    .filter(({ stages }) => stages.length > 0);
  if (rows.length === 0) {
    return '';
  }
  const total = (stages: Stage[]) => stages.reduce((sum, { time }) => sum + time, 0);
  const most = Math.max(...rows.map(({ stages }) => total(stages)));
  const scale = (width - left - right) / most;
  const bars = rows.map(({ title, stages }, index) => {
    const y = index * rowHeight + 8;
    let x = left;
    const parts = stages.map(({ name, time }) => {
      const wide = time * scale;
      const text = element('title', {}, escapeHtml(`${name}: ${formatSeconds(time)}`));
      const part = { x, y, width: Math.max(wide, 0), height: barHeight, class: classOf(name) };
      const inside =
        wide > name.length * 6.5 + 10
          ? label(x + wide / 2, y + 14, name, { anchor: 'middle', style: 'inside' })
          : '';
      x += wide;
      return element('rect', part, text) + inside;
    });
    const sum = formatSeconds(total(stages));
    return [
      label(left - 12, y + 14, title, { anchor: 'end', style: 'label name' }),
      ...parts,
      label(x + 8, y + 14, sum, { style: 'label value' }),
    ].join('');
  });
  const names = [...new Set(rows.flatMap(({ stages }) => stages.map(({ name }) => name)))];
  const legend = names.map((name) =>
    element('span', { class: 'key' }, `<i class="${classOf(name)}"></i>${escapeHtml(name)}`),
  );
  const size = { viewBox: `0 0 ${width} ${rows.length * rowHeight + 4}`, role: 'img' };
  return (
    element('svg', { ...size, 'aria-label': 'Time of each stage' }, bars.join('\n')) +
    element('p', { class: 'legend' }, legend.join(''))
  );
}

function classOf(stage: string): string {
  return colours[stage] ?? 's9';
}
