// Progress of a pull: what has come of each layer, beside what the unpack says of it.

import type { Descriptor } from '../oci/index.js';
import type { LayerPhase, LayerProgress, UnpackProgress } from '../unpack/progress.js';
import { Ticker } from '../unpack/ticker.js';

/** Where a layer of a pull stands: as in an unpack; `downloading` where it is only stored, not unpacked. */
export type PullPhase = LayerPhase | 'downloading';

/** Progress of one layer; all numbers only grow, but for a download that had to begin anew. */
export interface PullLayerProgress extends Omit<LayerProgress, 'phase'> {
  phase: PullPhase;
  /** Bytes of the blob that are here, by this call or an earlier one. */
  downloaded: number;
}

/** Progress of a pull: the layers, bottom first, and their sums. */
export interface PullProgress extends Omit<UnpackProgress, 'layers'> {
  layers: readonly PullLayerProgress[];
  downloaded: number;
}

/** Calls `onProgress` every 50 ms until stopped, and a last time then. */
export class PullTracker {
  readonly #layers: readonly Descriptor[];
  readonly #onProgress: ((progress: PullProgress) => void) | undefined;
  readonly #downloaded = new Map<string, () => number>();
  #unpack: UnpackProgress | undefined;
  readonly #ticker = new Ticker(() => this.#emit());

  constructor(
    layers: readonly Descriptor[],
    onProgress: ((progress: PullProgress) => void) | undefined,
  ) {
    this.#layers = layers;
    this.#onProgress = onProgress;
  }

  start(): void {
    if (this.#onProgress !== undefined) {
      this.#ticker.start();
    }
  }

  stop(): void {
    this.#ticker.stop();
  }

  /** Where the bytes of a blob are counted. */
  watch(digest: string, count: () => number): void {
    this.#downloaded.set(digest, count);
  }

  /** Takes what the unpack says. */
  unpacking(progress: UnpackProgress): void {
    this.#unpack = progress;
  }

  #emit(): void {
    const layers = this.#layers.map((descriptor, index) => this.#layer(descriptor, index));
    const sum = (of: (layer: PullLayerProgress) => number) =>
      layers.reduce((total, layer) => total + of(layer), 0);
    this.#onProgress?.({
      layers,
      size: sum(({ size }) => size),
      downloaded: sum(({ downloaded }) => downloaded),
      bytesIn: sum(({ bytesIn }) => bytesIn),
      bytesOut: sum(({ bytesOut }) => bytesOut),
      entries: sum(({ entries }) => entries),
    });
  }

  #layer({ digest, size }: Descriptor, index: number): PullLayerProgress {
    const counted = this.#downloaded.get(digest)?.();
    const unpack = this.#unpack?.layers[index];
    if (unpack !== undefined) {
      const { phase, bytesIn } = unpack;
      const downloaded = phase === 'reused' ? size : (counted ?? 0);
      const isWaiting = phase === 'unpacking' && bytesIn === 0 && downloaded === 0;
      return { ...unpack, phase: isWaiting ? 'waiting' : phase, downloaded };
    }
    const downloaded = counted ?? 0;
    const phase = downloaded === 0 ? 'waiting' : downloaded < size ? 'downloading' : 'done';
    return { layer: digest, phase, size, bytesIn: 0, bytesOut: 0, entries: 0, downloaded };
  }
}
