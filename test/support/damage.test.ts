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
        for (const [seed, kind] of [...damageKinds, ...damageKinds, ...damageKinds].entries()) {
          const damage = await damager.damage(kind, new Random(seed));
          if (damage === undefined) {
            continue;
          }
          done.add(kind);
          const changed = differences(damager.tree, await dumpHere(directory));
          const named = new Set(damage.expected.flatMap(({ paths }) => paths));
          expect(changed, kind).not.toEqual([]);
          expect(
            changed.filter((one) => !named.has(one)),
            kind,
          ).toEqual([]);
          await damage.undo();
          expect(differences(damager.tree, await dumpHere(directory)), kind).toEqual([]);
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

/** Paths that differ in anything but what an inode is called; aufs' marks stand for what they mark. */
function differences(before: Tree, after: Tree): string[] {
  const text = (tree: Tree, at: string) => {
    const entry = tree.get(at);
    // A directory has as many links as directories in it.
    const { inode, blocks, links, ...rest } = entry ?? { inode: '', blocks: 0, links: 0 };
    return JSON.stringify({ ...rest, mtime: String(entry?.mtime), inode: namesOf(tree, inode) });
  };
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((at) => text(before, at) !== text(after, at))
    .map((at) => (at.endsWith('/.wh..wh..opq') ? path.dirname(at) : at));
}

function namesOf(tree: Tree, inode: string): string[] {
  return [...tree.values()].filter((entry) => entry.inode === inode).map((entry) => entry.path);
}
