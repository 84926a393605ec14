// Random images: the kernel's overlay mount of our result (and the flat, userxattr and aufs forms) against the model of
// sequential apply. 120 seeds; SEEDS=2000 runs more, FIRST=1000 begins elsewhere, SEED=42 runs one. A seed that fails is
// cut down to the entries that it takes, and printed.

import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Format } from '../../src/index.js';
import {
  describeImage,
  type GeneratedImage,
  generateImage,
  minimizeImage,
} from '../support/generate.js';
import { modelTree, unpack } from '../support/image.js';
import { dumpImage, overlayMissing } from '../support/mount.js';
import { scratchRoot, withScratch } from '../support/scratch.js';
import { compareTrees } from '../support/tree.js';
import { writeImage } from '../support/write-image.js';

const one = process.env.SEED === undefined ? undefined : Number(process.env.SEED);
const first = one ?? Number(process.env.FIRST ?? 1);
const count = one === undefined ? Number(process.env.SEEDS ?? 120) : 1;
const timeout = 60_000 + count * 2000;
const shownFailures = 3;

interface Variant {
  format: Format;
  concurrency: number;
  /** Of so many seeds, one. */
  every: number;
}

const variants: Variant[] = [
  { format: 'overlay', concurrency: 1, every: 1 },
  { format: 'overlay', concurrency: 2, every: 1 },
  { format: 'overlay', concurrency: 8, every: 1 },
  { format: 'flat', concurrency: 1, every: 3 },
  { format: 'flat', concurrency: 8, every: 1 },
  { format: 'overlay-userxattr', concurrency: 0, every: 3 },
  { format: 'aufs', concurrency: 0, every: 3 },
];

/** An image of a seed, which all variants unpack. */
interface Written {
  image: GeneratedImage;
  reference: string;
}

describe('differential', () => {
  let layouts: string;
  const written = new Map<number, Written>();
  const imageOf = async (seed: number): Promise<Written> => {
    let known = written.get(seed);
    if (known === undefined) {
      const image = generateImage(seed);
      const reference = await writeImage(path.join(layouts, String(seed)), image.layers);
      known = { image, reference };
      written.set(seed, known);
    }
    return known;
  };

  beforeAll(async () => {
    layouts = await mkdtemp(path.join(scratchRoot, 'oci-unpack-test-'));
    const missing = await overlayMissing();
    if (missing !== undefined) {
      throw new Error(`${missing}; the differential test needs root`);
    }
  });
  afterAll(() => rm(layouts, { recursive: true, force: true }));

  it.for(variants)(
    'format $format, concurrency $concurrency: equal to the model',
    { timeout },
    async (variant) => {
      const failures: string[] = [];
      let failed = 0;
      for (let seed = first; seed < first + count; seed++) {
        if (one === undefined && seed % variant.every !== 0) {
          continue;
        }
        const { image, reference } = await imageOf(seed);
        const differences = await differencesOf(image, reference, variant);
        if (differences.length > 0) {
          failed++;
          if (failures.length < shownFailures) {
            failures.push(await explain(image, variant, differences));
          }
        }
      }
      expect(failed, failures.join('\n\n')).toBe(0);
    },
  );
});

async function differencesOf(
  image: GeneratedImage,
  reference: string,
  variant: Variant,
): Promise<string[]> {
  const { format, concurrency } = variant;
  return withScratch(async (scratch) => {
    try {
      const options = { format, concurrency };
      const report = await unpack(reference, path.join(scratch, 'image'), options);
      return compareTrees(modelTree(image.layers, options), await dumpImage(report));
    } catch (error) {
      return [`refused: ${String(error)}`];
    }
  });
}

async function explain(
  image: GeneratedImage,
  variant: Variant,
  differences: readonly string[],
): Promise<string> {
  const differencesIn = (smaller: GeneratedImage): Promise<string[]> =>
    withScratch(async (scratch) =>
      differencesOf(smaller, await writeImage(scratch, smaller.layers), variant),
    );
  const fails = async (smaller: GeneratedImage): Promise<boolean> =>
    (await differencesIn(smaller)).length > 0;
  const smallest = await minimizeImage(image, fails);
  const left = await differencesIn(smallest);
  return [
    `SEED=${image.seed}, ${variant.format}, concurrency ${variant.concurrency}`,
    ...(left.length > 0 ? left : differences).slice(0, 12),
    describeImage(smallest),
  ].join('\n');
}
