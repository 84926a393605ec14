// Median and spread of a few samples, and whether two sets of them differ: no assumption about how they are
// distributed.

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

/** The middle one, or the mean of the two in the middle. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? upper) + upper) / 2;
}

/** Up to this product of their sizes two sets are compared exactly: more takes seconds, and is not needed. */
const mostExact = 400;

/**
 * How likely two sets from the same source would be at least as far apart: the two-sided Mann-Whitney U test, exact
 * (every order of the ranks counted; ties take the mean of their ranks, which makes it slightly careful); of 20 and more
 * by the normal distribution, which is right to three digits there.
 *
 * With 5 against 5 the least possible value is 2 of 252, 0.8 %; with 3 against 3 it is 10 %, so that nothing can be
 * significant at 5 %.
 */
export function rankTest(a: readonly number[], b: readonly number[]): number {
  const all = [...a, ...b].sort((x, y) => x - y);
  const rank = (value: number) => (all.indexOf(value) + all.lastIndexOf(value)) / 2;
  const sum = a.reduce((total, value) => total + rank(value), 0);
  const middle = (a.length * (all.length - 1)) / 2;
  if (a.length * b.length > mostExact) {
    return normalChance(Math.abs(sum - middle), all, a.length * b.length);
  }
  // Twice the sums, so that half ranks stay whole numbers.
  const ways = waysOfSums(
    all.map((value) => Math.round(2 * rank(value))),
    a.length,
  );
  const distance = Math.abs(sum - middle) - 1e-9;
  let total = 0;
  let extreme = 0;
  for (const [doubled, count] of ways) {
    total += count;
    if (Math.abs(doubled / 2 - middle) >= distance) {
      extreme += count;
    }
  }
  return extreme / total;
}

/** Of a sum of ranks `distance` from its mean; variance with ties, and a correction for whole ranks (Lehmann 1975). */
function normalChance(distance: number, all: readonly number[], product: number): number {
  const size = all.length;
  const groups = new Map<number, number>();
  for (const value of all) {
    groups.set(value, (groups.get(value) ?? 0) + 1);
  }
  const ties = [...groups.values()].reduce((sum, count) => sum + count ** 3 - count, 0);
  const variance = (product / 12) * (size + 1 - ties / (size * (size - 1)));
  return variance > 0
    ? complementaryError(Math.max(distance - 0.5, 0) / Math.sqrt(2 * variance))
    : 1;
}

/** erfc(x) for x >= 0, to 1.5e-7 (Abramowitz and Stegun 7.1.26). */
function complementaryError(x: number): number {
  const t = 1 / (1 + 0.3275911 * x);
  const factors = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
  return factors.reduce((sum, factor) => (sum + factor) * t, 0) * Math.exp(-x * x);
}

/** In how many ways `size` of `values` have each sum. */
function waysOfSums(values: readonly number[], size: number): Map<number, number> {
  const bySize: Map<number, number>[] = Array.from({ length: size + 1 }, () => new Map());
  bySize[0]?.set(0, 1);
  for (const value of values) {
    for (let taken = size - 1; taken >= 0; taken--) {
      for (const [sum, count] of bySize[taken] ?? []) {
        const next = bySize[taken + 1];
        next?.set(sum + value, (next.get(sum + value) ?? 0) + count);
      }
    }
  }
  return bySize[size] ?? new Map();
}
