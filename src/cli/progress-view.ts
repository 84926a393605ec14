// The bars of `unpack` and `import`: what of each layer is unpacked.

import type { LayerProgress } from '../index.js';
import { bar } from '../text.js';
import { LayerBars } from './layer-bars.js';

type Counts = Pick<LayerProgress, 'bytesIn' | 'size'>;

export class ProgressView extends LayerBars<Counts, LayerProgress> {
  protected override bytesOf({ bytesIn }: Counts): number {
    return bytesIn;
  }

  protected override isActive({ phase, bytesIn }: LayerProgress): boolean {
    return phase === 'settling' || (phase === 'unpacking' && bytesIn > 0);
  }

  // name  bar  percent  bytes  rate  ETA: the bar takes what the rest leaves.
  protected override line(name: string, counts: Counts, rate: number, note: string): string {
    const { bytesIn, size } = counts;
    const part = size > 0 ? bytesIn / size : 0;
    const percent = size > 0 ? `${Math.floor(Math.min(part, 1) * 100)}%` : '';
    const right = `${percent.padStart(4)} ${this.numbers(counts, rate, note)}`;
    const width = Math.min(this.room(name.length + right.length + 2), 30);
    return width >= 4 ? `${name} ${bar(part, width)} ${right}` : `${name} ${right}`;
  }
}
