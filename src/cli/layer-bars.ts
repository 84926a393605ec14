// One line per layer, or, where the terminal is too low for all, one per layer at work; and one for their sum.

import type { PullPhase } from '../index.js';
import { formatBytes, formatDuration, shortDigest } from '../text.js';
import type { LiveRegion } from './terminal.js';

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

/** What a line is drawn of: a layer, or the sum. */
interface Counts {
  size: number;
}

interface Layer extends Counts {
  layer: string;
  phase: PullPhase;
}

const notes: Readonly<Record<PullPhase, string>> = {
  waiting: 'waiting',
  downloading: '',
  unpacking: '',
  settling: 'settling',
  done: 'done',
  reused: 'there',
};

/** What a layer's line says of its phase; empty where the numbers say it. */
export function phaseNote(phase: PullPhase): string {
  return notes[phase];
}

/** Draws progress into a region, ten times a second at most. */
export abstract class LayerBars<C extends Counts, L extends C & Layer> {
  readonly #region: LiveRegion;
  readonly #rates: Rate[] = [];
  readonly #total = new Rate();
  readonly #started: number;
  #drawn = Number.NEGATIVE_INFINITY;

  constructor(region: LiveRegion, now = performance.now()) {
    this.#region = region;
    this.#started = now;
  }

  update(progress: C & { layers: readonly L[] }, now = performance.now()): void {
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
  lines(progress: C & { layers: readonly L[] }, now: number): string[] {
    const { layers } = progress;
    const rates = layers.map((layer, index) => {
      this.#rates[index] ??= new Rate();
      return this.#rates[index].update(this.bytesOf(layer), now);
    });
    const total = this.#total.update(this.bytesOf(progress), now);
    const room = this.#region.rows - 1;
    const numbered = layers.map((layer, index) => ({ layer, index }));
    const active = numbered.filter(({ layer }) => this.isActive(layer));
    const shown = numbered.length <= room ? numbered : active.slice(0, room);
    const width = String(layers.length - 1).length;
    const lines = shown.map(({ layer, index }) => {
      const name = `${String(index).padStart(width)} ${shortDigest(layer.layer).slice(0, 12)}`;
      const rate = rates[index] ?? 0;
      return this.line(name.padEnd(13 + width), layer, rate, phaseNote(layer.phase));
    });
    const over = layers.filter(({ phase }) => phase === 'done' || phase === 'reused');
    const name = `${over.length}/${layers.length} layers`;
    const elapsed = formatDuration(now - this.#started);
    lines.push(this.line(name.padEnd(13 + width), progress, total, elapsed));
    return lines;
  }

  /** The bytes whose rate is shown. */
  protected abstract bytesOf(counts: C): number;

  /** Whether the layer has a line where not all have. */
  protected abstract isActive(layer: L): boolean;

  /** A line for a terminal of 80 columns and more. */
  protected abstract line(name: string, counts: C, rate: number, note: string): string;

  /** The numbers to the right of the bars: bytes, rate, and `note` or the time that is left. */
  protected numbers(counts: C, rate: number, note: string): string {
    const bytes = this.bytesOf(counts);
    const left = rate > 0 ? ((counts.size - bytes) / rate) * 1000 : 0;
    const eta = left >= 500 ? `ETA ${formatDuration(Math.round(left / 1000) * 1000)}` : '';
    return [
      `${formatBytes(bytes)}/${formatBytes(counts.size)}`.padStart(17),
      (rate > 0 && !this.isRateless(counts) ? `${formatBytes(rate)}/s` : '').padStart(10),
      (note || eta).padEnd(9),
    ].join(' ');
  }

  /** Whether a rate says nothing any more. */
  protected isRateless(_counts: C): boolean {
    return false;
  }

  /** Columns that are left for bars beside `taken`. */
  protected room(taken: number): number {
    return this.#region.columns - taken;
  }
}
