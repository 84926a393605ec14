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

  test('many samples are compared at once, and nearly as exactly', () => {
    const ramp = (from: number, length: number) => Array.from({ length }, (_, n) => from + n);
    // 20 against 20 is exact: the same values at other sizes must not jump.
    expect(rankTest(ramp(0, 21), ramp(5.5, 21))).toBeCloseTo(
      rankTest(ramp(0, 20), ramp(5.5, 20)),
      2,
    );
    expect(rankTest(ramp(0, 1000), ramp(0.5, 1000))).toBeGreaterThan(0.9);
    expect(rankTest(ramp(0, 1000), ramp(500, 1000))).toBeLessThan(1e-6);
    expect(rankTest(Array(30).fill(5), Array(30).fill(5))).toBe(1);
  });

  test('the same samples are no difference, ties take their mean', () => {
    expect(rankTest([1, 2, 3, 4], [1, 2, 3, 4])).toBe(1);
    expect(rankTest([5, 5, 5], [5, 5, 5])).toBe(1);
    expect(rankTest([1, 1, 1, 1], [2, 2, 2, 2])).toBeCloseTo(2 / 70, 10);
  });
});
