// Format overlay-userxattr where it is for: the command runs in a user namespace (`unshare -Urm`), and the kernel's
// overlayfs mounts its result there with `userxattr`. Random images of what such a namespace can hold, against the model.

import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { runCommand } from '../support/command.js';
import { describeImage, generateImage } from '../support/generate.js';
import { modelTree } from '../support/image.js';
import { Inspector } from '../support/inspector.js';
import { ModelError } from '../support/model.js';
import { dumpImage, type MountableImage } from '../support/mount.js';
import { withScratch } from '../support/scratch.js';
import type { TarEntry } from '../support/tar-builder.js';
import { compareTrees, type Tree } from '../support/tree.js';
import { platform, writeImage } from '../support/write-image.js';

const namespace = ['unshare', '--user', '--map-root-user', '--mount'];
const missing = await promisify(execFile)('unshare', ['-Urm', 'true']).then(
  () => undefined,
  () => 'no user namespaces here',
);
if (missing !== undefined) {
  console.log(`skipped: overlay-userxattr in a user namespace: ${missing}`);
}

it.skipIf(missing !== undefined)(
  'overlay-userxattr in a user namespace equals the model',
  { timeout: 240_000 },
  async () => {
    const inspector = new Inspector(namespace);
    const seeds = Number(process.env.USERNS_SEEDS ?? 25);
    let compared = 0;
    try {
      for (let seed = 1; compared < seeds && seed < 10 * seeds; seed++) {
        const image = generateImage(seed);
        const layers = image.layers.map(forNamespace);
        const expected = modelOf(layers);
        if (expected === undefined) {
          continue;
        }
        compared++;
        await withScratch(async (scratch) => {
          const reference = await writeImage(path.join(scratch, 'layout'), layers);
          const destination = path.join(scratch, 'image');
          const args = ['unpack', reference, destination, '--platform', platform];
          const result = await runCommand([...args, '-f', 'overlay-userxattr', '--json'], {
            wrapper: namespace,
          });
          expect(result.code, `${result.stderr}\n${describeImage({ seed, layers })}`).toBe(0);
          const report = JSON.parse(result.stdout) as MountableImage;
          const mounted = await dumpImage({ ...report, destination }, inspector);
          expect(compareTrees(expected, mounted), describeImage({ seed, layers })).toEqual([]);
        });
      }
    } finally {
      inspector.close();
    }
    expect(compared).toBe(seeds);
  },
);

// One id, no devices, no privileged xattrs.
function forNamespace(layer: readonly TarEntry[]): TarEntry[] {
  return layer
    .filter(({ type }) => type !== 'char' && type !== 'block')
    .map((entry) => {
      const made: TarEntry = { ...entry };
      if (made.uid !== undefined) {
        made.uid = 0;
        made.gid = 0;
      }
      if (made.xattrs !== undefined) {
        made.xattrs = Object.fromEntries(
          Object.entries(made.xattrs).filter(([name]) => name.startsWith('user.')),
        );
      }
      return made;
    });
}

function modelOf(layers: readonly TarEntry[][]): Tree | undefined {
  try {
    return modelTree(layers, { format: 'overlay-userxattr' });
  } catch (error) {
    if (error instanceof ModelError) {
      return undefined;
    }
    throw error;
  }
}
