// Which image of several in a layout or archive is meant. Errors list what there is, in the words that choose it.

import { UnpackError } from '../errors.js';
import type { Selector } from './parse-reference.js';

/** An image that can be chosen. */
export interface Entry {
  /** Names it goes by, as they are written. */
  names: readonly string[];
  /** Whether a name that the user wrote is one of its names in another notation. */
  isAlso?: (name: string) => boolean;
}

/** Entries that fit; one, or several that the caller must tell apart. */
export function matchingEntries<Of extends Entry>(
  entries: readonly Of[],
  selector: Selector | undefined,
  where: string,
): Of[] {
  if (selector === undefined) {
    if (entries.length === 0) {
      throw new UnpackError('ERR_IMAGE_NOT_FOUND', `${where}: holds no image`);
    }
    return [...entries];
  }
  if ('position' in selector) {
    const entry = entries[selector.position];
    if (entry === undefined) {
      throw notFound(entries, `@${selector.position}`, where);
    }
    return [entry];
  }
  const { name } = selector;
  const exact = entries.filter((entry) => entry.names.includes(name));
  const found = exact.length > 0 ? exact : entries.filter((entry) => entry.isAlso?.(name) === true);
  if (found.length === 0) {
    throw notFound(entries, JSON.stringify(name), where);
  }
  return found;
}

/** The error for several that fit. */
export function ambiguous(
  entries: readonly Entry[],
  fitting: readonly Entry[],
  where: string,
): UnpackError {
  return new UnpackError(
    'ERR_AMBIGUOUS_REFERENCE',
    `${where}: ${fitting.length} images fit; append one of ${list(entries, fitting)}`,
  );
}

function notFound(entries: readonly Entry[], wanted: string, where: string): UnpackError {
  const all = entries.length === 0 ? 'no image at all' : list(entries, entries);
  return new UnpackError('ERR_IMAGE_NOT_FOUND', `${where}: has no image ${wanted}; it has ${all}`);
}

/** At most this many names in a message. */
const maxListed = 50;

/** The names, or `@N` for an image without a name of its own. */
function list(entries: readonly Entry[], shown: readonly Entry[]): string {
  const counts = new Map<string, number>();
  for (const name of shown.flatMap(({ names }) => [...new Set(names)])) {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const positions = new Map(entries.map((entry, position) => [entry, position]));
  const texts = shown.flatMap((entry) => {
    const own = entry.names.filter((name) => counts.get(name) === 1);
    return own.length > 0 ? own.map((name) => `:${name}`) : [`:@${positions.get(entry)}`];
  });
  const more = texts.length - maxListed;
  return texts.slice(0, maxListed).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
