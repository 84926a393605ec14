import { describe, expect, test } from 'vitest';
import { median, rankTest, statistics } from '../../src/bench/statistics.js';

describe('statistics', () => {
  test('median, bounds and spread', () => {
    expect(statistics([5, 1, 3])).toEqual({ median: 3, min: 1, max: 5, spread: 2 });
    expect(statistics([4, 1, 2, 9])).toEqual({ median: 3, min: 1, max: 9, spread: 1.5 });
    expect(statistics([7])).toEqual({ median: 7, min: 7, max: 7, spread: 0 });
    expect(median([10, 9])).toBe(9.5);
  });

  test('one outlier moves neither', () => {
    const calm = statistics([100, 101, 102, 103, 104]);
    expect(statistics([100, 101, 102, 103, 9000])).toEqual({ ...calm, max: 9000 });
  });
});

describe('the rank test', () => {
  // Exact values: twice the number of orders at least as extreme, of all (a + b choose a).
  test.each([
    [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 2 / 252],
    [[1, 2, 3], [4, 5, 6], 2 / 20],
    [[1, 2, 4], [3, 5, 6], 4 / 20],
    [[1, 4], [2, 3], 1],
    [[1], [2], 1],
  ])('%j against %j', (a, b, chance) => {
    expect(rankTest(a, b)).toBeCloseTo(chance, 10);
    expect(rankTest(b, a)).toBeCloseTo(chance, 10);
  });

  test('the same samples are no difference, ties take their mean', () => {
    expect(rankTest([1, 2, 3, 4], [1, 2, 3, 4])).toBe(1);
    expect(rankTest([5, 5, 5], [5, 5, 5])).toBe(1);
    expect(rankTest([1, 1, 1, 1], [2, 2, 2, 2])).toBeCloseTo(2 / 70, 10);
  });
});
