import { PassThrough } from 'node:stream';
import type { WriteStream } from 'node:tty';
import { describe, expect, test } from 'vitest';
import { Rate } from '../../src/cli/layer-bars.js';
import { ProgressView } from '../../src/cli/progress-view.js';
import { LiveRegion } from '../../src/cli/terminal.js';
import type { LayerPhase, UnpackProgress } from '../../src/unpack/progress.js';

const mebibyte = 2 ** 20;

/** A stream with the size of a terminal, and what was written to it. */
function terminal(columns: number, rows: number) {
  const stream = Object.assign(new PassThrough(), { columns, rows });
  return {
    region: new LiveRegion(stream as unknown as WriteStream),
    written: () => stream.read()?.toString() ?? '',
  };
}

function progressOf(parts: [LayerPhase, number][]): UnpackProgress {
  const layers = parts.map(([phase, part], index) => ({
    layer: `sha256:${String(index).padStart(64, '0')}`,
    phase,
    size: 100 * mebibyte,
    bytesIn: part * 100 * mebibyte,
    bytesOut: part * 300 * mebibyte,
    entries: Math.round(part * 1000),
  }));
  const sum = (key: 'size' | 'bytesIn' | 'bytesOut' | 'entries') =>
    layers.reduce((total, layer) => total + layer[key], 0);
  return {
    layers,
    size: sum('size'),
    bytesIn: sum('bytesIn'),
    bytesOut: sum('bytesOut'),
    entries: sum('entries'),
  };
}

describe('ProgressView', () => {
  test('has a bar per layer and a total, with bytes, rate and ETA, in 80 columns', () => {
    const { region } = terminal(80, 24);
    const view = new ProgressView(region, 0);
    view.lines(
      progressOf([
        ['unpacking', 0],
        ['unpacking', 0],
      ]),
      0,
    );
    const lines = view.lines(
      progressOf([
        ['unpacking', 0.25],
        ['done', 1],
      ]),
      1000,
    );
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(
      /^0 000000000000 █+▌?.*░ +25% +25\.0 MiB\/100 MiB +25\.0 MiB\/s ETA 3\.0 s/,
    );
    expect(lines[1]).toMatch(/100% .*done/);
    expect(lines[2]).toMatch(/^1\/2 layers .* 62% +125 MiB\/200 MiB/);
    for (const line of lines) {
      expect(line.length).toBeLessThanOrEqual(79);
    }
  });

  test('shows only layers at work where the terminal is too low for all', () => {
    const { region } = terminal(80, 10);
    const view = new ProgressView(region, 0);
    const parts = Array.from({ length: 120 }, (_, index): [LayerPhase, number] => {
      if (index < 50) {
        return ['done', 1];
      }
      return index < 54 ? ['unpacking', 0.5] : ['unpacking', 0];
    });
    const lines = view.lines(progressOf(parts), 0);
    expect(lines).toHaveLength(5);
    expect(lines[0]).toMatch(/^ 50 /);
    expect(lines.at(-1)).toMatch(/^50\/120 layers/);
  });

  test.each([20, 40, 60, 200])('fits %d columns', (columns) => {
    const { region, written } = terminal(columns, 24);
    const view = new ProgressView(region, 0);
    view.update(progressOf([['unpacking', 0.5]]), 1000);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape sequences of a frame
    const plain = written().replace(/\x1b\[[?\d]*[A-Za-z]/g, '');
    for (const line of plain.split('\n')) {
      expect(line.replace('\r', '').length).toBeLessThan(columns);
    }
    view.close();
  });

  test('draws ten frames a second at most, and restores the cursor', () => {
    const { region, written } = terminal(80, 24);
    const view = new ProgressView(region, 0);
    for (let time = 0; time < 1000; time += 10) {
      view.update(progressOf([['unpacking', time / 1000]]), time);
    }
    view.close();
    view.close();
    const text = written();
    expect(text.split('\x1b[J')).toHaveLength(10 + 1 + 1);
    expect(text.split('\x1b[?25l')).toHaveLength(2);
    expect(text.split('\x1b[?25h')).toHaveLength(2);
    expect(text.endsWith('\x1b[?25h')).toBe(true);
  });
});

test('Rate follows a steady stream and smooths a jerky one', () => {
  const steady = new Rate();
  for (let second = 0; second <= 10; second++) {
    steady.update(second * 1000, second * 1000);
  }
  expect(steady.update(11_000, 11_000)).toBeCloseTo(1000);
  const jerky = new Rate();
  let last = 0;
  for (let tick = 0; tick <= 100; tick++) {
    last = jerky.update(Math.floor(tick / 10) * 1000, tick * 100);
  }
  expect(last).toBeGreaterThan(500);
  expect(last).toBeLessThan(1500);
});
