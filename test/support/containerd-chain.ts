// The snapshots of an image in a real containerd, to be damaged.

import { lstatSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { runProcess } from '../../src/bench/process.js';
import { readChains } from '../../src/containerd/chains.js';
import type { ContainerdStore } from '../../src/containerd/index.js';
import { Damager } from './damage.js';
import type { DamagedLayer } from './damage-rounds.js';
import type { TreeEntry } from './tree.js';

/** The layers of an image, with what may be damaged in each. */
export async function damagedLayers(
  store: ContainerdStore,
  namespace: string,
  image: string,
  snapshotter = 'overlayfs',
): Promise<DamagedLayer[]> {
  const { chains } = await readChains(store, namespace, ({ name }) => name === image);
  const chain = chains.find((one) => one.snapshotter === snapshotter);
  const layers: DamagedLayer[] = [];
  for (const [index, { stored }] of (chain?.snapshots ?? []).entries()) {
    const directory = stored?.directory ?? '';
    const digest = chain?.manifest.layers[index]?.descriptor.digest ?? '';
    const lowers = layers.map((one) => one.directory);
    const named = await directoriesOf(
      path.join(store.root.content, 'blobs', digest.replace(':', '/')),
    );
    const isFlat = snapshotter === 'native';
    const damager = await Damager.of(directory, {
      format: isFlat ? 'flat' : 'overlay',
      lowerNames: (at) => lowers.flatMap((lower) => namesIn(path.join(lower, at))),
      accept: (kind, entry) =>
        kind === 'changed-time'
          ? // Nobody prescribes the time of a directory that the layer does not name.
            entry.type !== 'directory' || (!isFlat && named.has(entry.path))
          : kind !== 'lost-whiteout' || hides(entry, lowers),
    });
    layers.push({ directory, damager });
  }
  return layers;
}

/** The directories that a layer's tar names. */
async function directoriesOf(blob: string): Promise<Set<string>> {
  const { stdout } = await runProcess('tar', ['-tf', blob, '--quoting-style=literal']);
  const names = stdout.split('\n').filter((line) => line.endsWith('/'));
  return new Set(
    names.map((name) =>
      Buffer.from(name.replace(/^(\.?\/)+/, '').replace(/\/$/, '')).toString('latin1'),
    ),
  );
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Whether some lower layer has something of a whiteout's name. */
function hides({ path: at }: TreeEntry, lowers: readonly string[]): boolean {
  const name = Buffer.from(at, 'latin1').toString();
  return lowers.some((lower) => {
    try {
      const stats = lstatSync(path.join(lower, name));
      return !(stats.isCharacterDevice() && stats.rdev === 0);
    } catch {
      return false;
    }
  });
}
