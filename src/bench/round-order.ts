// Who comes when in a round of a benchmark. What one contender leaves to the host (the journal, caches, the clock of the
// processor) meets the next one: on a journaled ext4 the one after the floor took 8 % longer than the others.

/**
 * The contenders in the order of round number `round`, counted from 0. Over as many rounds as there are contenders each
 * follows every other once; where their number is odd, twice in two times as many rounds. (E. J. Williams 1949,
 * "Experimental designs balanced for the estimation of residual effects of treatments".)
 */
export function inRoundOrder<T>(contenders: readonly T[], round: number): T[] {
  const count = contenders.length;
  const zigzag = contenders.map((_, at) => (at % 2 === 1 ? (at + 1) / 2 : count - at / 2));
  const order = zigzag.map((step) => contenders[(step + round) % count] as T);
  const mirrored = count % 2 === 1 && Math.floor(round / count) % 2 === 1;
  return mirrored ? order.reverse() : order;
}
