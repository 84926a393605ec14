// Who takes part: a contender unpacks an image into a directory and lets its result be looked at as a tree.

import type { Tolerance, Tree } from '../demo/tree.js';
import type { BenchImage } from './image.js';
import type { Usage } from './process.js';

/** A tree, and what could not be seen of it. */
export interface View {
  tree: Tree;
  tolerance: Tolerance;
}

/** `ours`: must be exact; `javascript`: what this project wrote to compare with; `peer`: everybody else's; `floor`. */
export type ContenderKind = 'ours' | 'javascript' | 'peer' | 'floor';

/** Where a contender finds what it needs. */
export interface Place {
  image: BenchImage;
  /** A directory of this contender's own, for the whole bench. */
  home: string;
  signal?: AbortSignal;
}

/** Why a contender does not take part. */
export interface Absence {
  /** `missing`: something is not installed; `unsuitable`: it cannot do this image, or not as this user. */
  status: 'missing' | 'unsuitable';
  reason: string;
  /** What to type to have it. */
  install?: string;
}

export interface Contender {
  /** Stable name, for JSON and options. */
  id: string;
  /** For people; short. */
  title: string;
  kind: ContenderKind;
  /** Whether it checks both digests; who does not has less work. */
  digests: boolean;
  /** What its result lacks or has in another form. */
  lacks: string[];
  /** Whether it can take part; also fills in what depends on the host, such as `version`. */
  absence(place: Place): Promise<Absence | undefined>;
  version?: string;
  /** Once, before the first run, not timed. */
  prepare?(place: Place): Promise<void>;
  /** Before each run, not timed; `destination` does not exist. */
  begin?(place: Place, destination: string): Promise<void>;
  /** Unpacks to `destination`. This alone is timed. */
  unpack(place: Place, destination: string): Promise<UnpackFacts>;
  /** The merged view of what `unpack` wrote. `xattrs`: the paths whose xattrs are of interest. */
  view(place: Place, destination: string, xattrs: string[]): Promise<View>;
  /** After each run, not timed, also when it failed; what is left in `destination` is removed afterwards. */
  end?(place: Place, destination: string): Promise<void>;
  /** Once, after the last run. */
  close?(): Promise<void>;
}

/** What a run tells about itself. */
export interface UnpackFacts {
  /** Processor time and memory. */
  usage?: Usage;
  /** Milliseconds, where the clock around the call is not what is to be compared. */
  wall?: number;
  /** Milliseconds per stage, summed over threads and layers. */
  stages?: Record<string, number>;
  /** The decoders that ran. */
  decoders?: string[];
  /** Bytes of all tars. */
  tarBytes?: number;
  /** Regular files in all layers. */
  files?: number;
  /** Something that the reader should know of this run. */
  note?: string;
}
