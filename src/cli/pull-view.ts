// What `pull` shows while it runs: on a terminal two bars per layer, what has come and what of it is unpacked; elsewhere
// plain lines; with --json events.

import type { PullLayerProgress, PullPhase, PullProgress } from '../index.js';
import { bar, formatBytes, shortDigest } from '../text.js';
import { LayerBars, phaseNote } from './layer-bars.js';

/** Plain lines come when a layer has changed, and so often at most for one that only grows. */
const plainMilliseconds = 5000;
const eventMilliseconds = 200;

type Counts = Pick<PullLayerProgress, 'downloaded' | 'bytesIn' | 'size'>;

export class PullView extends LayerBars<Counts, PullLayerProgress> {
  protected override bytesOf({ downloaded }: Counts): number {
    return downloaded;
  }

  protected override isActive({ phase }: PullLayerProgress): boolean {
    return phase === 'downloading' || phase === 'unpacking' || phase === 'settling';
  }

  protected override isRateless({ downloaded, size }: Counts): boolean {
    return downloaded >= size;
  }

  // name  bar of the download  bar of the unpack  bytes  rate  ETA
  protected override line(name: string, counts: Counts, rate: number, note: string): string {
    const { downloaded, bytesIn, size } = counts;
    const part = (bytes: number) => (size > 0 ? bytes / size : 0);
    const right = this.numbers(counts, rate, note);
    const width = Math.min(Math.floor(this.room(name.length + right.length + 3) / 2), 20);
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
        const note = phaseNote(layer.phase) || layer.phase;
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
