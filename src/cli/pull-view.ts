// What `pull` shows while it runs: on a terminal two bars per layer, what has come and what of it is unpacked; elsewhere
// plain lines; with --json events.

import type { PullLayerProgress, PullPhase, PullProgress } from '../index.js';
import { Rate } from './progress-view.js';
import type { LiveRegion } from './terminal.js';
import { bar, formatBytes, formatDuration, shortDigest } from './text.js';

const frameMilliseconds = 100;
/** Plain lines come when a layer has changed, and so often at most for one that only grows. */
const plainMilliseconds = 5000;
const eventMilliseconds = 200;

const notes: Readonly<Record<PullPhase, string>> = {
  waiting: 'waiting',
  downloading: '',
  unpacking: '',
  settling: 'settling',
  done: 'done',
  reused: 'there',
};

/** Draws into a region, ten times a second at most. */
export class PullView {
  readonly #region: LiveRegion;
  readonly #rates: Rate[] = [];
  readonly #total = new Rate();
  readonly #started: number;
  #drawn = Number.NEGATIVE_INFINITY;

  constructor(region: LiveRegion, now = performance.now()) {
    this.#region = region;
    this.#started = now;
  }

  update(progress: PullProgress, now = performance.now()): void {
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
  lines(progress: PullProgress, now: number): string[] {
    const { layers } = progress;
    const rates = layers.map((layer, index) => {
      this.#rates[index] ??= new Rate();
      return this.#rates[index].update(layer.downloaded, now);
    });
    const total = this.#total.update(progress.downloaded, now);
    const room = this.#region.rows - 1;
    const numbered = layers.map((layer, index) => ({ layer, index }));
    const active = numbered.filter(({ layer }) => isActive(layer));
    const shown = numbered.length <= room ? numbered : active.slice(0, room);
    const width = String(layers.length - 1).length;
    const lines = shown.map(({ layer, index }) => {
      const name = `${String(index).padStart(width)} ${shortDigest(layer.layer).slice(0, 12)}`;
      return this.#line(name.padEnd(13 + width), layer, rates[index] ?? 0, notes[layer.phase]);
    });
    const name = `${layers.filter(isOver).length}/${layers.length} layers`;
    const elapsed = formatDuration(now - this.#started);
    lines.push(this.#line(name.padEnd(13 + width), progress, total, elapsed));
    return lines;
  }

  // name  bar of the download  bar of the unpack  percent  bytes  rate  ETA
  #line(
    name: string,
    { downloaded, bytesIn, size }: Pick<PullLayerProgress, 'downloaded' | 'bytesIn' | 'size'>,
    rate: number,
    note: string,
  ): string {
    const part = (bytes: number) => (size > 0 ? bytes / size : 0);
    const left = rate > 0 ? ((size - downloaded) / rate) * 1000 : 0;
    const eta = left >= 500 ? `ETA ${formatDuration(Math.round(left / 1000) * 1000)}` : '';
    const right = [
      `${formatBytes(downloaded)}/${formatBytes(size)}`.padStart(17),
      (rate > 0 && downloaded < size ? `${formatBytes(rate)}/s` : '').padStart(10),
      (note || eta).padEnd(9),
    ].join(' ');
    const width = Math.min(
      Math.floor((this.#region.columns - name.length - right.length - 3) / 2),
      20,
    );
    return width >= 4
      ? `${name} ${bar(part(downloaded), width)} ${bar(part(bytesIn), width)} ${right}`
      : `${name} ${right}`;
  }
}

/** Writes a line when a layer has got to another phase, and for the whole now and then. */
export class PlainPullView {
  readonly #write: (line: string) => void;
  readonly #phases: PullPhase[] = [];
  readonly #started: number;
  #said: number;

  constructor(write: (line: string) => void, now = performance.now()) {
    this.#write = write;
    this.#started = now;
    this.#said = now;
  }

  update({ layers, downloaded, size }: PullProgress, now = performance.now()): void {
    for (const [index, layer] of layers.entries()) {
      if (this.#phases[index] !== layer.phase) {
        this.#phases[index] = layer.phase;
        const note = notes[layer.phase] || layer.phase;
        if (layer.phase !== 'waiting') {
          const name = `layer ${index} ${shortDigest(layer.layer)}`;
          this.#write(`${name}: ${note}, ${formatBytes(layer.size)}`);
        }
      }
    }
    if (now - this.#said >= plainMilliseconds && downloaded < size) {
      this.#said = now;
      const speed = (downloaded / (now - this.#started)) * 1000;
      const of = `${formatBytes(downloaded)} of ${formatBytes(size)}`;
      this.#write(`${of} downloaded, ${formatBytes(speed)}/s`);
    }
  }
}

/** Gives events: `layer` when one has got to another phase, `progress` five times a second. */
export class PullEvents {
  readonly #emit: (event: Record<string, unknown>) => void;
  readonly #phases: PullPhase[] = [];
  #said = Number.NEGATIVE_INFINITY;

  constructor(emit: (event: Record<string, unknown>) => void) {
    this.#emit = emit;
  }

  update(progress: PullProgress, now = performance.now()): void {
    for (const [index, layer] of progress.layers.entries()) {
      if (this.#phases[index] !== layer.phase) {
        this.#phases[index] = layer.phase;
        this.#emit({ event: 'layer', index, ...layer });
      }
    }
    if (now - this.#said >= eventMilliseconds) {
      this.#said = now;
      this.#emit({ event: 'progress', ...progress });
    }
  }
}

function isOver({ phase }: PullLayerProgress): boolean {
  return phase === 'done' || phase === 'reused';
}

function isActive({ phase }: PullLayerProgress): boolean {
  return phase === 'downloading' || phase === 'unpacking' || phase === 'settling';
}
