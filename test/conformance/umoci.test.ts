// The model itself against umoci, which others wrote: the same random images, each layer with its markers first, as
// umoci applies a layer strictly in the order of its tar.

import path from 'node:path';
import { expect, it } from 'vitest';
import { describeImage, type GeneratedImage, generateImage } from '../support/generate.js';
import { toKey } from '../support/layer-entry.js';
import { Model, ModelError } from '../support/model.js';
import { withScratch } from '../support/scratch.js';
import type { TarEntry } from '../support/tar-builder.js';
import { compareTrees, type Tree } from '../support/tree.js';
import { umociMissing, umociUnpack } from '../support/umoci.js';
import { writeImage } from '../support/write-image.js';

const seeds = Number(process.env.UMOCI_SEEDS ?? 150);
const missing = await umociMissing();
if (missing !== undefined) {
  console.log(`skipped: model against umoci: ${missing}`);
}

it.skipIf(missing !== undefined)('the model equals umoci', { timeout: 300_000 }, async () => {
  const failures: string[] = [];
  let compared = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const image = markersFirst(generateImage(seed, { plain: true }));
    const expected = modelOf(image);
    if (expected === undefined) {
      continue;
    }
    await withScratch(async (scratch) => {
      const layout = path.join(scratch, 'layout');
      await writeImage(layout, image.layers, ['none', 'gzip']);
      const outcome = await umociUnpack(layout, 'latest', path.join(scratch, 'bundle'));
      if ('refused' in outcome) {
        return;
      }
      compared++;
      // umoci takes the xattrs of a target away when it makes a hard link to it.
      const linked = image.layers.flat().some(({ type }) => type === 'hardlink');
      const ignore = linked ? (['xattrs'] as const) : [];
      const differences = compareTrees(expected, asModel(expected, outcome.tree), { ignore });
      if (differences.length > 0) {
        failures.push([...differences, describeImage(image)].join('\n'));
      }
    });
  }
  expect(failures.slice(0, 3).join('\n\n')).toBe('');
  expect(compared).toBeGreaterThan(seeds / 4);
});

function markersFirst(image: GeneratedImage): GeneratedImage {
  const isMarker = (entry: TarEntry): boolean => toKey(entry.path).includes('.wh.');
  return {
    ...image,
    layers: image.layers.map((layer) => [
      ...layer.filter(isMarker),
      ...layer.filter((entry) => !isMarker(entry)),
    ]),
  };
}

function modelOf(image: GeneratedImage): Tree | undefined {
  const model = new Model();
  try {
    for (const layer of image.layers) {
      model.apply(layer);
    }
    return model.tree('flat');
  } catch (error) {
    if (error instanceof ModelError) {
      return undefined;
    }
    throw error;
  }
}

// umoci gives implicit directories and those that it changes later the time of day, and makes none for the markers
// in them; what they shall be is SEMANTICS.md's choice.
function asModel(expected: Tree, actual: Tree): Tree {
  const adapted: Tree = new Map(actual);
  for (const [name, want] of expected) {
    const entry = actual.get(name);
    if (want.type === 'directory' && want.mtime === 0n && entry === undefined) {
      adapted.set(name, want);
    } else if (want.type === 'directory' && entry?.type === 'directory') {
      adapted.set(name, { ...entry, mtime: want.mtime });
    }
  }
  return adapted;
}
