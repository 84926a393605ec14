// ChainIDs name a stack of layers (image-spec config.md, "Layer ChainID"):
// ChainID(L0) = DiffID(L0); ChainID(L0|...|Ln) = sha256(ChainID(L0|...|Ln-1) + " " + DiffID(Ln)).

import { digestOf } from './digest.js';

/** The chainIDs of every prefix of a stack, bottom first: as many as there are diffIDs. */
export function chainIDs(diffIDs: readonly string[]): string[] {
  const chain: string[] = [];
  let below: string | undefined;
  for (const diffID of diffIDs) {
    below = below === undefined ? diffID : digestOf(`${below} ${diffID}`);
    chain.push(below);
  }
  return chain;
}

/** The chainID of a whole stack, bottom first; the empty string for no layer at all. */
export function chainID(diffIDs: readonly string[]): string {
  return chainIDs(diffIDs).at(-1) ?? '';
}
