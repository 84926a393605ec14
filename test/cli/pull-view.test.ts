import { describe, expect, it } from 'vitest';
import { PlainPullView, PullEvents, PullView } from '../../src/cli/pull-view.js';
import type { LiveRegion } from '../../src/cli/terminal.js';
import type { PullLayerProgress, PullPhase, PullProgress } from '../../src/index.js';

const region = { columns: 79, rows: 10, draw: () => undefined, clear: () => undefined };
const view = () => new PullView(region as unknown as LiveRegion, 0);

function layer(phase: PullPhase, downloaded: number, bytesIn: number): PullLayerProgress {
  const size = 100 * 2 ** 20;
  return {
    ...{ layer: `sha256:${'ab'.repeat(32)}`, phase, size, downloaded, bytesIn },
    ...{ bytesOut: 0, entries: 0 },
  };
}

function progress(...layers: PullLayerProgress[]): PullProgress {
  const sum = (key: 'size' | 'downloaded' | 'bytesIn') =>
    layers.reduce((total, one) => total + one[key], 0);
  return {
    ...{ layers, size: sum('size'), downloaded: sum('downloaded'), bytesIn: sum('bytesIn') },
    ...{ bytesOut: 0, entries: 0 },
  };
}

const mib = 2 ** 20;

describe('the bars of pull', () => {
  it('show download and unpack, speed and ETA', () => {
    const bars = view();
    bars.lines(progress(layer('unpacking', 0, 0)), 0);
    const [line = '', sum = ''] = bars.lines(
      progress(layer('unpacking', 50 * mib, 25 * mib)),
      1000,
    );
    expect(line).toContain('50.0 MiB/100 MiB');
    expect(line).toContain('50.0 MiB/s');
    expect(line).toContain('ETA 1.0 s');
    const [download = '', unpack = ''] = line.match(/[█▏▎▍▌▋▊▉░]+/g) ?? [];
    expect(download.length).toBe(unpack.length);
    expect(download.replace(/░/g, '').length).toBeGreaterThan(unpack.replace(/░/g, '').length);
    expect(sum).toContain('0/1 layers');
    expect(line.length).toBeLessThanOrEqual(region.columns);
  });

  it('name what layers wait for, and leave out what has no room', () => {
    const phases = ['waiting', 'downloading', 'settling', 'done', 'reused'] as const;
    const lines = view().lines(progress(...phases.map((phase) => layer(phase, 1, 0))), 0);
    expect(
      lines.map((line) =>
        line
          .trim()
          .split(/\s{2,}/)
          .at(-1),
      ),
    ).toMatchObject([
      'waiting',
      expect.anything(),
      'settling',
      'done',
      expect.stringContaining('there'),
      expect.anything(),
    ]);
    const many = Array.from({ length: 50 }, (_, i) => layer(i < 3 ? 'unpacking' : 'done', 1, 0));
    expect(view().lines(progress(...many), 0)).toHaveLength(4);
  });
});

describe('without a terminal', () => {
  it('a line tells each change, and now and then how far it is', () => {
    const lines: string[] = [];
    const plain = new PlainPullView((line) => lines.push(line), 0);
    plain.update(progress(layer('waiting', 0, 0)), 0);
    plain.update(progress(layer('unpacking', mib, 0)), 100);
    plain.update(progress(layer('unpacking', 2 * mib, 0)), 200);
    plain.update(progress(layer('unpacking', 50 * mib, 0)), 5000);
    plain.update(progress(layer('done', 100 * mib, 0)), 6000);
    expect(lines).toEqual([
      'layer 0 abababababab: unpacking, 100 MiB',
      '50.0 MiB of 100 MiB downloaded, 10.0 MiB/s',
      'layer 0 abababababab: done, 100 MiB',
    ]);
  });

  it('events tell each change and, not too often, everything', () => {
    const events: Record<string, unknown>[] = [];
    const sink = new PullEvents((event) => events.push(event));
    for (const time of [0, 50, 100, 150, 250]) {
      sink.update(progress(layer('unpacking', time, 0)), time);
    }
    expect(events.map(({ event }) => event)).toEqual(['layer', 'progress', 'progress']);
    expect(events[0]).toMatchObject({ index: 0, phase: 'unpacking', downloaded: 0 });
    expect(events[2]).toMatchObject({ downloaded: 250, size: 100 * mib });
  });
});
