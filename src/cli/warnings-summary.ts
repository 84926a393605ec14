// The warnings of an image for people: how many of each kind, with examples.

import type { ImageWarning } from '../index.js';
import { formatCount, printable, shortDigest, truncate } from '../text.js';

const examples = 3;

/** What each kind means; docs/image-json.md has the same list. */
export const warningMeanings: Readonly<Record<string, string>> = {
  'entry-skipped': 'bookkeeping of aufs, left out',
  'whiteout-dropped': 'whiteouts that hide nothing',
  'symlink-parent': 'parents that are symlinks in a lower layer',
  'hardlink-copied-up': 'link targets of a lower layer, copied',
  'device-skipped': 'devices that may not be made here, left out',
  'ownership-ignored': 'owners not applied',
  'xattr-dropped': 'xattrs that only mean something on their host, left out',
  'xattr-escaped': 'overlay xattrs of the layer, made inert',
  'xattr-failed': 'xattrs that the file system refuses, left out',
  'time-clamped': 'times that the file system cannot store',
};

/** Lines, the most frequent kind first; none when there are no warnings. */
export function warningLines(warnings: readonly ImageWarning[], columns: number): string[] {
  const kinds = new Map<string, ImageWarning[]>();
  for (const warning of warnings) {
    const list = kinds.get(warning.kind) ?? [];
    list.push(warning);
    kinds.set(warning.kind, list);
  }
  const sorted = [...kinds].sort(([, a], [, b]) => b.length - a.length);
  return sorted.flatMap(([kind, list]) => {
    const meaning = warningMeanings[kind];
    const head = `${formatCount(list.length)} ${kind}${meaning === undefined ? '' : `: ${meaning}`}`;
    const shown = list.slice(0, examples).map(({ layer, path, detail }) => {
      const text = `  ${shortDigest(layer)} ${printable(path)}${detail && `: ${printable(detail)}`}`;
      return truncate(text, columns);
    });
    const more = list.length - shown.length;
    return [
      truncate(head, columns),
      ...shown,
      ...(more > 0 ? [`  ... ${formatCount(more)} more`] : []),
    ];
  });
}
