// Rounds of damage: in each, one or several damages of every kind at places that have nothing to do with one another, spread
// over the directories of a chain of layers; then verify must find each, by its name, and nothing else.

import { type Damage, type DamageKind, type Damager, damageKinds } from './damage.js';
import { Random } from './random.js';

/** A layer that is damaged. */
export interface DamagedLayer {
  directory: string;
  damager: Damager;
}

/** A finding, as far as it is compared. */
export interface FoundDamage {
  kind: string;
  path: string;
  directory: string;
}

/**
 * Seeds of rounds until each kind has been done `wanted` times, or can no more: each kind that has not is done up to
 * `atOnce` times a round. Add to `done` what a round has done before asking for the next one.
 */
export function* roundsOf(
  wanted: number,
  atOnce: number,
  firstSeed: number,
  done: ReadonlyMap<DamageKind, number>,
): Generator<{ seed: number; kinds: DamageKind[] }> {
  for (let round = 0; round < 2 * wanted; round++) {
    const kinds = damageKinds.flatMap((kind) => {
      const left = Math.max(0, wanted - (done.get(kind) ?? 0));
      return new Array<DamageKind>(Math.min(left, atOnce)).fill(kind);
    });
    // After the second round: a kind that nothing here can have is not waited for.
    const possible = round < 2 ? kinds : kinds.filter((kind) => done.has(kind));
    if (possible.length === 0) {
      return;
    }
    // By turns from the other end: two kinds may want the only entry of its sort.
    yield { seed: firstSeed + round, kinds: round % 2 === 0 ? possible : possible.reverse() };
  }
}

/** The damages of a round. */
export class DamageRound {
  readonly damages: { damage: Damage; directory: string }[] = [];

  /** Does one damage of each of `kinds`, which may be in there several times, that is possible somewhere in `layers`. */
  static async of(
    layers: readonly DamagedLayer[],
    seed: number,
    kinds: readonly DamageKind[] = damageKinds,
  ): Promise<DamageRound> {
    const round = new DamageRound();
    const random = new Random(seed);
    for (const kind of kinds) {
      const able = layers.filter(({ damager }) => damager.can(kind));
      for (let attempt = 0; able.length > 0 && attempt < 20; attempt++) {
        const { damager, directory } = random.pick(able);
        const taken = round.damages.filter((one) => one.directory === directory);
        const damage = await damager.damage(kind, random, (path) =>
          taken.every((one) => areApart(one.damage, path)),
        );
        if (damage !== undefined) {
          round.damages.push({ damage, directory });
          break;
        }
      }
    }
    return round;
  }

  /** What is wrong with the findings, in words: damages that are not among them, and what is not damaged. */
  compare(findings: readonly FoundDamage[]): string[] {
    const problems: string[] = [];
    const explained = new Set<FoundDamage>();
    for (const { damage, directory } of this.damages) {
      for (const { kind, paths } of damage.expected) {
        const told = paths.map(toldPath);
        const found = findings.filter(
          (one) => one.directory === directory && one.kind === kind && told.includes(one.path),
        );
        if (found.length === 0) {
          const at = findings.filter(
            (one) => one.directory === directory && told.includes(one.path),
          );
          const instead = at.map((one) => one.kind).join() || 'nothing';
          problems.push(`${kind} of ${JSON.stringify(told[0])} in ${directory}: found ${instead}`);
          for (const one of at) {
            explained.add(one);
          }
        }
        for (const one of found) {
          explained.add(one);
        }
      }
    }
    for (const one of findings) {
      if (!explained.has(one)) {
        problems.push(
          `${one.kind} of ${JSON.stringify(one.path)} in ${one.directory}: not damaged so`,
        );
      }
    }
    return problems;
  }

  async undo(): Promise<void> {
    for (const { damage } of this.damages.splice(0).reverse()) {
      await damage.undo();
    }
  }
}

/** Neither above nor below one another, nor the same. */
function areApart({ path, expected }: Damage, other: string): boolean {
  return [path, ...expected.flatMap(({ paths }) => paths)].every(
    (one) =>
      one !== other &&
      !one.startsWith(`${other}/`) &&
      !other.startsWith(`${one}/`) &&
      (other !== '' || one.includes('/')), // in the root: of the same new name, perhaps
  );
}

/** A path as findings tell it: bytes that are not UTF-8 are `\xNN`. */
export function toldPath(key: string): string {
  const bytes = Buffer.from(key, 'latin1');
  const text = bytes.toString('utf8');
  if (Buffer.from(text).equals(bytes)) {
    return text;
  }
  return [...bytes]
    .map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`))
    .join('');
}
