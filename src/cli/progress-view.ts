// The bars of `unpack`: one per layer, or, where the terminal is too low for all, one per layer at work;
// and their sum.

import type { LayerProgress, UnpackProgress } from '../index.js';
import type { LiveRegion } from './terminal.js';
import { bar, formatBytes, formatDuration, shortDigest } from './text.js';

const frameMilliseconds = 100;
/** Seconds over which a rate is smoothed. */
const smoothingSeconds = 1.5;

/** Bytes per second, smoothed: progress comes in jerks. */
export class Rate {
  #bytes = 0;
  #time: number | undefined;
  #perSecond: number | undefined;

  /** Takes a sample at `time` (ms); resolves to the rate now. */
  update(bytes: number, time: number): number {
    if (this.#time === undefined) {
      this.#time = time;
      this.#bytes = bytes;
      return 0;
    }
    const seconds = (time - this.#time) / 1000;
    if (seconds > 0) {
      const now = (bytes - this.#bytes) / seconds;
      const weight = 1 - Math.exp(-seconds / smoothingSeconds);
      this.#perSecond =
        this.#perSecond === undefined ? now : this.#perSecond + weight * (now - this.#perSecond);
      this.#time = time;
      this.#bytes = bytes;
    }
    return this.#perSecond ?? 0;
  }
}

/** Draws progress into a region, ten times a second at most. */
export class ProgressView {
  readonly #region: LiveRegion;
  readonly #rates: Rate[] = [];
  readonly #total = new Rate();
  readonly #started: number;
  #drawn = Number.NEGATIVE_INFINITY;

  constructor(region: LiveRegion, now = performance.now()) {
    this.#region = region;
    this.#started = now;
  }

  update(progress: UnpackProgress, now = performance.now()): void {
    if (now - this.#drawn >= frameMilliseconds) {
      this.#drawn = now;
      this.#region.draw(this.lines(progress, now));
    }
  }

  /** Removes the bars. */
  close(): void {
    this.#region.clear();
  }

  /** One frame. */
  lines(progress: UnpackProgress, now: number): string[] {
    const rates = progress.layers.map((layer, index) => {
      this.#rates[index] ??= new Rate();
      return this.#rates[index].update(layer.bytesIn, now);
    });
    const total = this.#total.update(progress.bytesIn, now);
    const room = this.#region.rows - 1;
    const numbered = progress.layers.map((layer, index) => ({ layer, index }));
    const shown =
      numbered.length <= room
        ? numbered
        : numbered.filter(({ layer }) => isActive(layer)).slice(0, room);
    const width = String(progress.layers.length - 1).length;
    const lines = shown.map(({ layer, index }) =>
      this.#layerLine(layer, String(index).padStart(width), rates[index] ?? 0),
    );
    const done = progress.layers.filter(({ phase }) => phase === 'done' || phase === 'reused');
    const name = `${done.length}/${progress.layers.length} layers`;
    const elapsed = formatDuration(now - this.#started);
    lines.push(this.#line(name.padEnd(13 + width), progress, total, elapsed));
    return lines;
  }

  #layerLine(layer: LayerProgress, index: string, rate: number): string {
    const name = `${index} ${shortDigest(layer.layer).slice(0, 12).padEnd(12)}`;
    const notes: Record<LayerProgress['phase'], string> = {
      waiting: 'waiting',
      unpacking: '',
      settling: 'settling',
      done: 'done',
      reused: 'there',
    };
    return this.#line(name, layer, rate, notes[layer.phase]);
  }

  // name  bar  percent  bytes  rate  ETA: 80 columns, the bar taking what the rest leaves.
  #line(
    name: string,
    { bytesIn, size }: Pick<LayerProgress, 'bytesIn' | 'size'>,
    rate: number,
    note: string,
  ): string {
    const part = size > 0 ? bytesIn / size : 0;
    const left = rate > 0 ? ((size - bytesIn) / rate) * 1000 : 0;
    const eta = left >= 500 ? `ETA ${formatDuration(Math.round(left / 1000) * 1000)}` : '';
    const percent = size > 0 ? `${Math.floor(Math.min(part, 1) * 100)}%` : '';
    const right = [
      percent.padStart(4),
      `${formatBytes(bytesIn)}/${formatBytes(size)}`.padStart(17),
      (rate > 0 ? `${formatBytes(rate)}/s` : '').padStart(10),
      (note || eta).padEnd(9),
    ].join(' ');
    const width = Math.min(this.#region.columns - name.length - right.length - 2, 30);
    return width >= 4 ? `${name} ${bar(part, width)} ${right}` : `${name} ${right}`;
  }
}

function isActive(layer: LayerProgress): boolean {
  return layer.phase === 'settling' || (layer.phase === 'unpacking' && layer.bytesIn > 0);
}
