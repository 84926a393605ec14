// Progress of `verify`: what was compared so far, and of blobs that are read again how much.

import type { VerifyProgress } from '../index.js';
import { bar, formatBytes, formatCount, formatDuration } from '../text.js';
import { Rate } from './layer-bars.js';
import type { LiveRegion } from './terminal.js';

const frameMilliseconds = 100;
const barWidth = 30;

export class VerifyView {
  readonly #region: LiveRegion;
  readonly #rate = new Rate();
  readonly #started: number;
  #drawn = Number.NEGATIVE_INFINITY;

  constructor(region: LiveRegion, now = performance.now()) {
    this.#region = region;
    this.#started = now;
  }

  update(progress: VerifyProgress, now = performance.now()): void {
    if (now - this.#drawn >= frameMilliseconds) {
      this.#drawn = now;
      this.#region.draw(this.lines(progress, now));
    }
  }

  /** One frame. */
  lines(progress: VerifyProgress, now: number): string[] {
    const { done, snapshots, entries, bytes, blobBytes, blobSize } = progress;
    const rate = this.#rate.update(bytes, now);
    const part = snapshots > 0 ? done / snapshots : 1;
    const counted = `${done}/${snapshots} snapshots`;
    const speed = rate > 0 ? `${formatBytes(rate)}/s` : '';
    const lines = [
      `compare ${bar(part, barWidth)} ${counted}  ${formatDuration(now - this.#started)}`,
      `        ${formatCount(entries)} entries, ${formatBytes(bytes)}  ${speed}`,
    ];
    if (blobSize > 0) {
      const read = `${formatBytes(blobBytes)}/${formatBytes(blobSize)}`;
      lines.unshift(`blobs   ${bar(blobBytes / blobSize, barWidth)} ${read}`);
    }
    return lines;
  }

  /** Removes the lines. */
  close(): void {
    this.#region.clear();
  }
}
