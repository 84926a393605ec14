// Real images, path by path: the overlay mount of our unpack against root directories that other tools made, GNU tar (layer
// by layer, whiteouts executed by a script) and umoci. Run by `npm run test:corpus -- DIR [WORK]`: DIR holds OCI layouts,
// WORK is on a file system with room (default: the scratch directory of the tests).

import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Format, unpackImage } from '../../src/index.js';
import { dumpImage } from '../support/mount.js';
import { scratchRoot } from '../support/scratch.js';
import { compareTrees, type Tree } from '../support/tree.js';
import { dumpTree } from '../support/tree-dump.js';
import { umociMissing, umociUnpack } from '../support/umoci.js';

const run = promisify(execFile);
const corpus = process.env.CORPUS ?? '';
const sequentialTar = fileURLToPath(new URL('../support/sequential-tar.py', import.meta.url));
const images =
  corpus === ''
    ? []
    : readdirSync(corpus).filter((name) => existsSync(path.join(corpus, name, 'oci-layout')));
const noUmoci = await umociMissing();
const timeout = 1_200_000;

describe.skipIf(images.length === 0)('corpus', () => {
  for (const image of images) {
    describe(image, () => compareImage(path.join(corpus, image)));
  }
});

function compareImage(layout: string): void {
  let work = '';
  let reference: Tree = new Map();

  beforeAll(async () => {
    const root = process.env.CORPUS_WORK ?? scratchRoot;
    await mkdir(root, { recursive: true });
    work = await mkdtemp(path.join(root, 'oci-unpack-corpus-'));
    await run('python3', [sequentialTar, layout, path.join(work, 'reference')]);
    reference = await dumpTree(path.join(work, 'reference'));
    await rm(path.join(work, 'reference'), { recursive: true });
  }, timeout);
  afterAll(() => rm(work, { recursive: true, force: true }), timeout);

  const variants: [Format, number][] = [
    ['overlay', 0],
    ['overlay', 1],
    ['overlay', 8],
    ['flat', 0],
  ];
  it.for(variants)(
    '%s, concurrency %i: equals GNU tar',
    { timeout },
    async ([format, concurrency]) => {
      const tree = await unpacked(layout, path.join(work, 'ours'), format, concurrency);
      expect(reference.size).toBeGreaterThan(1000);
      expect(compareTrees(reference, tree, { ignorePath: isRoot })).toEqual([]);
    },
  );

  it.skipIf(noUmoci !== undefined)('equals umoci', { timeout }, async ({ skip }) => {
    const other = await umociUnpack(layout, 'latest', path.join(work, 'umoci'));
    await rm(path.join(work, 'umoci'), { recursive: true });
    if ('refused' in other) {
      skip(`umoci refuses the image: ${other.refused}`);
      return;
    }
    expect(compareTrees(reference, other.tree, { ignorePath: isRoot })).toEqual([]);
  });
}

// The layers have no entry for the root: what it is then is everyone's own choice.
function isRoot(name: string): boolean {
  return name === '';
}

async function unpacked(
  layout: string,
  destination: string,
  format: Format,
  concurrency: number,
): Promise<Tree> {
  try {
    return await dumpImage(
      await unpackImage(`oci:${layout}`, destination, { format, concurrency }),
    );
  } finally {
    await rm(destination, { recursive: true, force: true });
  }
}
