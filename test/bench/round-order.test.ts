import { expect, test } from 'vitest';
import { inRoundOrder } from '../../src/bench/round-order.js';

test.each([1, 2, 3, 4, 5, 8])(
  'of %i contenders each follows every other equally often',
  (count) => {
    const contenders = Array.from({ length: count }, (_, number) =>
      String.fromCharCode(97 + number),
    );
    const rounds = count % 2 === 1 ? 2 * count : count;
    const pairs = new Map<string, number>();
    for (let round = 0; round < rounds; round++) {
      const order = inRoundOrder(contenders, round);
      expect([...order].sort()).toEqual(contenders);
      for (let at = 1; at < count; at++) {
        const pair = `${order[at - 1]}${order[at]}`;
        pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
      }
    }
    expect(pairs.size).toBe(count * (count - 1));
    expect(new Set(pairs.values())).toEqual(new Set(count === 1 ? [] : [rounds / count]));
  },
);

test('rounds of none are empty', () => {
  expect(inRoundOrder([], 3)).toEqual([]);
});
