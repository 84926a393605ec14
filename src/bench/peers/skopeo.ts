// `skopeo copy` into containers-storage, as Podman and CRI-O keep images: the overlay driver, in a store of its own.

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { unescapeMount } from '../../text.js';
import type { Contender } from '../contender.js';
import { rootApart, viewOverlay } from '../layered-view.js';
import { writePlainLayout } from '../layout.js';
import { runProcess, versionOf } from '../process.js';

interface StoredLayer {
  id: string;
  parent?: string;
}

export function skopeoContender(): Contender {
  const contender: Contender = {
    id: 'skopeo',
    title: 'skopeo copy',
    kind: 'peer',
    digests: true,
    lacks: [],
    async absence({ signal }) {
      contender.version = await versionOf('skopeo', signal);
      if (contender.version === undefined) {
        const reason = 'skopeo is not installed';
        return { status: 'missing', reason, install: 'apt-get install skopeo' };
      }
      return process.geteuid?.() === 0
        ? undefined
        : { status: 'unsuitable', reason: 'it needs root' };
    },
    async prepare({ image, home }) {
      await writePlainLayout(image, path.join(home, 'layout'));
    },
    async unpack({ home, signal }, destination) {
      const from = `oci:${path.join(home, 'layout')}:latest`;
      const store = `[overlay@${destination}+${path.join(home, 'run')}]`;
      const to = `containers-storage:${store}bench.invalid/image:latest`;
      const args = ['--insecure-policy', 'copy', '--quiet', from, to];
      const { usage } = await runProcess('skopeo', args, { signal });
      return { usage };
    },
    async view({ signal }, destination, xattrs) {
      const lowers = await storedLayers(destination);
      return rootApart(await viewOverlay(lowers, `${destination}.mount`, xattrs, signal));
    },
    async end(_, destination) {
      await unmountBelow(destination);
    },
  };
  return contender;
}

/** The directories of the one image of a store, top first. */
async function storedLayers(store: string): Promise<string[]> {
  const file = path.join(store, 'overlay-layers', 'layers.json');
  const layers = JSON.parse(await readFile(file, 'utf8')) as StoredLayer[];
  const parents = new Set(layers.map(({ parent }) => parent));
  let layer = layers.find(({ id }) => !parents.has(id));
  const directories: string[] = [];
  while (layer !== undefined) {
    directories.push(path.join(store, 'overlay', layer.id, 'diff'));
    const { parent } = layer;
    layer = layers.find(({ id }) => id === parent);
  }
  return directories;
}

/** The overlay driver makes its home a mount, which would outlive the store. */
async function unmountBelow(directory: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8'))
    .split('\n')
    .map((line) => unescapeMount(line.split(' ')[1] ?? ''))
    .filter((target) => target.startsWith(`${directory}/`));
  for (const target of mounts.reverse()) {
    await runProcess('umount', [target]);
  }
}
