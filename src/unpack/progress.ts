// Progress of a call: the addon's counters sampled by one timer, never pushed by the workers.

import { Ticker } from './ticker.js';

/** Where a layer stands. */
export type LayerPhase =
  | 'waiting' // not started
  | 'unpacking' // decode, hash, write
  | 'settling' // waiting for the layers below, or settling with them
  | 'done'
  | 'reused'; // committed by an earlier call

/** Progress of one layer; all numbers only grow. */
export interface LayerProgress {
  /** The blob's digest, or a name for a layer given without one. */
  layer: string;
  phase: LayerPhase;
  /** Compressed size; 0 when it is not known. */
  size: number;
  /** Compressed bytes read. */
  bytesIn: number;
  /** Uncompressed bytes made. */
  bytesOut: number;
  /** Tar entries seen. */
  entries: number;
}

/** Progress of a whole call: the layers, bottom first, and their sums. */
export interface UnpackProgress {
  layers: readonly LayerProgress[];
  size: number;
  bytesIn: number;
  bytesOut: number;
  entries: number;
}

interface Counters {
  bytesIn: number;
  bytesOut: number;
  entries: number;
}

/** One layer as the sampler sees it; its owner moves `phase` and gives the counters to sample. */
export interface TrackedLayer {
  phase: LayerPhase;
  sample?: () => Counters;
}

/** Calls `onProgress` every 50 ms until stopped, and a last time then; without a listener it does nothing. */
export class ProgressSampler {
  readonly #layers: (TrackedLayer & { layer: string; size: number; last: Counters })[] = [];
  readonly #onProgress: ((progress: UnpackProgress) => void) | undefined;
  readonly #ticker = new Ticker(() => this.#emit());

  constructor(onProgress: ((progress: UnpackProgress) => void) | undefined) {
    this.#onProgress = onProgress;
  }

  add(layer: string, size: number, phase: LayerPhase = 'waiting'): TrackedLayer {
    const last = phase === 'reused' ? { bytesIn: size, bytesOut: 0, entries: 0 } : { ...none };
    const tracked = { layer, size, phase, last };
    this.#layers.push(tracked);
    return tracked;
  }

  start(): void {
    if (this.#onProgress !== undefined) {
      this.#ticker.start();
    }
  }

  stop(): void {
    this.#ticker.stop();
  }

  #emit(): void {
    const total: Counters & { size: number } = { size: 0, ...none };
    const layers = this.#layers.map((tracked): LayerProgress => {
      tracked.last = tracked.sample?.() ?? tracked.last;
      total.size += tracked.size;
      total.bytesIn += tracked.last.bytesIn;
      total.bytesOut += tracked.last.bytesOut;
      total.entries += tracked.last.entries;
      return { layer: tracked.layer, phase: tracked.phase, size: tracked.size, ...tracked.last };
    });
    this.#onProgress?.({ layers, ...total });
  }
}

const none: Readonly<Counters> = { bytesIn: 0, bytesOut: 0, entries: 0 };
