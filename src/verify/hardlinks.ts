// Which names of a broken hardlink are the damaged ones. The addon says that names are not one file any more; the
// names that most of them still share are taken for the good ones, the elder file where there are as many.

import { type FoundFile, findFile } from './disk-path.js';
import type { Difference } from './types.js';

/** The differences, `hardlink` being told of those names alone that were taken apart from the others. */
export async function settleHardlinks(
  differences: readonly Difference[],
  directory: string,
): Promise<Difference[]> {
  const settled = new Map(differences.map((difference) => [difference.path, difference]));
  const seen = new Set<string>();
  for (const difference of differences) {
    const { path, expected, fields } = difference;
    if (!fields.includes('hardlink') || expected?.links === undefined || seen.has(path)) {
      continue;
    }
    const names = [path, ...expected.links].sort();
    for (const name of names) {
      seen.add(name);
    }
    const broken = new Set(await brokenNames(names, directory));
    for (const name of names) {
      settle(settled, name, broken.has(name), difference, names);
    }
  }
  return [...settled.values()]
    .filter(({ expected, found, fields }) => !expected || !found || fields.length > 0)
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

function settle(
  settled: Map<string, Difference>,
  name: string,
  isBroken: boolean,
  example: Difference,
  names: readonly string[],
): void {
  const own = settled.get(name);
  if (own !== undefined) {
    const others = own.fields.filter((field) => field !== 'hardlink');
    settled.set(name, { ...own, fields: isBroken ? [...others, 'hardlink'] : others });
  } else if (isBroken && example.expected !== null) {
    // As it should be in all but its inode.
    const links = names.filter((other) => other !== name);
    const { links: _, ...found } = example.expected;
    const expected = { ...example.expected, links };
    settled.set(name, { path: name, expected, found, fields: ['hardlink'] });
  }
}

async function brokenNames(names: readonly string[], directory: string): Promise<string[]> {
  const found = await Promise.all(
    names.map(async (name) => ({ name, file: await findFile(directory, name) })),
  );
  const groups = new Map<string, { names: string[]; file: FoundFile }>();
  for (const { name, file } of found) {
    if (file !== undefined) {
      const key = `${file.stats.dev}:${file.stats.ino}`;
      const group = groups.get(key) ?? { names: [], file };
      group.names.push(name);
      groups.set(key, group);
    }
  }
  const [, ...others] = [...groups.values()].sort(
    (a, b) => b.names.length - a.names.length || ageOf(a.file) - ageOf(b.file),
  );
  return others.flatMap((group) => group.names);
}

/** Milliseconds since 1970 of its birth, or where the file system knows none of its last change. */
function ageOf({ stats }: FoundFile): number {
  return Number(stats.birthtimeNs || stats.ctimeNs);
}
