// The damages of damage.ts: each changes what it says and nothing else, and is undone.

import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { unpackImage } from '../../src/index.js';
import { Damager, damageKinds } from './damage.js';
import { damageLayers } from './damage-image.js';
import { isRoot } from './ids.js';
import { Random } from './random.js';
import { withScratch } from './scratch.js';
import { dumpHere } from './snapshots.js';
import type { Tree } from './tree.js';
import { writeImage } from './write-image.js';

const formats = ['overlay', 'overlay-userxattr', 'aufs', 'flat'] as const;

describe.skipIf(!isRoot)('damages', () => {
  it.each(formats)('of %s are what they say, and are undone', async (format) => {
    await withScratch(async (scratch) => {
      const layout = path.join(scratch, 'layout');
      await writeImage(layout, damageLayers, ['gzip']);
      const image = await unpackImage(`oci:${layout}`, path.join(scratch, 'out'), { format });
      const directories =
        format === 'flat'
          ? [path.join(scratch, 'out/rootfs')]
          : image.layers.map((layer) => path.join(scratch, 'out', layer.path));
      const done = new Set<string>();
      for (const directory of directories) {
        const damager = await Damager.of(directory, { format });
        const before = textsOf(damager.tree);
        for (const [seed, kind] of [...damageKinds, ...damageKinds, ...damageKinds].entries()) {
          const damage = await damager.damage(kind, new Random(seed));
          if (damage === undefined) {
            continue;
          }
          done.add(kind);
          const changed = differences(before, await dumpHere(directory));
          const named = new Set(damage.expected.flatMap(({ paths }) => paths));
          expect(changed, kind).not.toEqual([]);
          expect(
            changed.filter((one) => !named.has(one)),
            kind,
          ).toEqual([]);
          await damage.undo();
          expect(differences(before, await dumpHere(directory)), kind).toEqual([]);
        }
      }
      const marks = ['leaked-opaque', 'lost-opaque', 'lost-whiteout', 'stray-whiteout'];
      const without = { flat: [...marks, 'foreign-marker'], aufs: ['foreign-marker'] };
      expect(damageKinds.filter((kind) => !done.has(kind))).toEqual(
        without[format as keyof typeof without] ?? [],
      );
    });
  });
});

/** Each entry in words, but for what its inode is called. */
function textsOf(tree: Tree): Map<string, string> {
  const names = new Map<string, string[]>();
  for (const { inode, path: name } of tree.values()) {
    names.set(inode, [...(names.get(inode) ?? []), name]);
  }
  const texts = new Map<string, string>();
  for (const [at, entry] of tree) {
    // A directory has as many links as directories in it.
    const { inode, blocks, links, ...rest } = entry;
    const text = { ...rest, mtime: String(entry.mtime), inode: names.get(inode) };
    texts.set(at, JSON.stringify(text));
  }
  return texts;
}

/** Paths that differ; aufs' marks stand for what they mark. */
function differences(before: ReadonlyMap<string, string>, after: Tree): string[] {
  const texts = textsOf(after);
  return [...new Set([...before.keys(), ...texts.keys()])]
    .filter((at) => before.get(at) !== texts.get(at))
    .map((at) => (at.endsWith('/.wh..wh..opq') ? path.dirname(at) : at));
}
