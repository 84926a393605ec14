// Who takes part: a contender unpacks an image into a directory and lets its result be looked at as a tree.

import type { Tolerance, Tree } from '../demo/tree.js';
import type { BenchImage } from './image.js';

/** A tree, and what could not be seen of it. */
export interface View {
  tree: Tree;
  tolerance: Tolerance;
}

export interface Contender {
  /** Stable name, for JSON and options. */
  id: string;
  /** For people. */
  title: string;
  /** Whether it checks both digests; who does not has less work. */
  digests: boolean;
  /** What its result lacks or has in another form. */
  lacks: string[];
  /** Unpacks to `destination`, which does not exist. This alone is timed. */
  unpack(image: BenchImage, destination: string, signal?: AbortSignal): Promise<UnpackFacts>;
  /** The merged view of what `unpack` wrote. `xattrs`: the paths whose xattrs are of interest. */
  view(
    image: BenchImage,
    destination: string,
    xattrs: string[],
    signal?: AbortSignal,
  ): Promise<View>;
}

/** What a run tells about itself. */
export interface UnpackFacts {
  /** Milliseconds per stage, summed over threads and layers. */
  stages?: Record<string, number>;
  /** The decoders that ran. */
  decoders?: string[];
  /** Bytes of all tars. */
  tarBytes?: number;
  /** Regular files in all layers. */
  files?: number;
}
