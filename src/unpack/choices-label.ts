// How a layer was unpacked, as far as it is not the default: kept with its snapshot, since what it should hold depends
// on it.

import { type Policies, policyValues, type ResolvedOptions, resolveOptions } from './options.js';

/** What changes how a layer is written, or whether it is accepted. */
export type LayerChoices = Pick<ResolvedOptions, 'policies' | 'limits'>;

/** Of a snapshot: its {@link LayerChoices} that are not the defaults. */
export const choicesLabel = 'oci-unpack.io/options';

/** The labels that say `choices`; none where all are the defaults. */
export function choicesLabels({ policies, limits }: LayerChoices): Record<string, string> {
  const chosen = Object.entries(policies).filter(
    ([name, value]) => (policyValues as Record<string, readonly unknown[]>)[name]?.[0] !== value,
  );
  if (chosen.length === 0 && Object.keys(limits).length === 0) {
    return {};
  }
  return { [choicesLabel]: JSON.stringify({ policies: Object.fromEntries(chosen), limits }) };
}

/** Reads {@link choicesLabels} back; the defaults where there are none, or none that are known here. */
export function choicesOf(labels: Readonly<Record<string, string>>): LayerChoices {
  try {
    const { policies, limits } = JSON.parse(labels[choicesLabel] ?? '{}') as {
      policies?: Partial<Policies>;
      limits?: ResolvedOptions['limits'];
    };
    return choicesIn(resolveOptions({ policies, limits }));
  } catch {
    return choicesIn(resolveOptions({}));
  }
}

/** No more than them: a layer's format is its snapshotter's. */
function choicesIn({ policies, limits }: LayerChoices): LayerChoices {
  return { policies, limits };
}
