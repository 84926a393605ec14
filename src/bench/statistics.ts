// Median and spread of a few samples: no assumption about how they are distributed.

/** Statistics of samples in one unit. */
export interface Statistics {
  median: number;
  min: number;
  max: number;
  /** Median distance to the median. */
  spread: number;
}

/** @param samples at least one. */
export function statistics(samples: readonly number[]): Statistics {
  const middle = median(samples);
  return {
    median: middle,
    min: Math.min(...samples),
    max: Math.max(...samples),
    spread: median(samples.map((sample) => Math.abs(sample - middle))),
  };
}

function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? upper) + upper) / 2;
}
