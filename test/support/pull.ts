// What the tests of pulling share: an image in a real registry, a proxy that does wrong in front of it, and stores.

import { createCipheriv } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import type { PullOptions, Store, StoreLayerReport, StoreReport } from '../../src/index.js';
import { digestOf } from '../../src/oci/index.js';
import { type FaultProxy, startFaultProxy } from './fault-proxy.js';
import { startRegistry, type TestRegistry } from './registry.js';
import { scratchRoot } from './scratch.js';
import { withStore } from './store.js';
import { dir, file, symlink, type TarItem, whiteout } from './tar-builder.js';
import { compareTrees, type Tree } from './tree.js';
import { dumpTree } from './tree-dump.js';
import { platform, writeImage } from './write-image.js';

/** Bytes of each big file; what is random cannot be compressed. */
export const fileBytes: number = 3 * 2 ** 20;
/** Of one that comes in three ranges, where it may. */
export const biggestFileBytes: number = 9 * 2 ** 20;

/** The same for the same seed; nothing compresses it. */
export function noise(seed: number, length: number): Buffer {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16));
  return cipher.update(Buffer.alloc(length));
}

/** Layers that need each other: a whiteout, a parent that is a symlink below. */
export const layers: readonly (readonly TarItem[])[] = [
  [
    dir('usr'),
    dir('usr/lib'),
    symlink('lib', 'usr/lib'),
    dir('etc'),
    file('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n'),
    file('old', 'old'),
    file('one', noise(1, fileBytes)),
  ],
  [file('lib/new', 'lands in usr/lib'), whiteout('old'), file('two', noise(2, fileBytes))],
  [file('etc/three', 'three'), file('three', noise(3, biggestFileBytes))],
  [file('small', 'small')],
];

export interface PullFixture {
  registry: TestRegistry;
  proxy: FaultProxy;
  /** `HOST/test/image:latest` by way of the proxy. */
  reference: string;
  /** The image's OCI layout, `oci:DIR:latest`. */
  layout: string;
  scratch: string;
}

/** Starts registry and proxy for all tests of a file, with the image of {@link layers} in it. */
export function usePullFixture(): PullFixture {
  const fixture = {} as PullFixture;
  beforeAll(async () => {
    fixture.scratch = await mkdtemp(path.join(scratchRoot, 'oci-unpack-pull-'));
    fixture.registry = await startRegistry(path.join(fixture.scratch, 'registry'));
    fixture.proxy = await startFaultProxy(fixture.registry.url);
    fixture.layout = await writeImage(path.join(fixture.scratch, 'layout'), layers);
    await fixture.registry.push(fixture.layout, 'test/image:latest');
    fixture.reference = `${fixture.proxy.host}/test/image:latest`;
  });
  beforeEach(() => fixture.proxy.reset());
  afterAll(async () => {
    await fixture.proxy?.stop();
    await fixture.registry?.stop();
    await rm(fixture.scratch, { recursive: true, force: true });
  });
  return fixture;
}

/** Quick to give up, and to stall. */
export const quick: PullOptions = {
  plainHttp: true,
  platform,
  hostsDirectories: [],
  authFile: undefined,
  retry: { attempts: 3, baseDelay: 5, maxDelay: 20, maxRetryAfter: 3000 },
  stallTimeout: 700,
};

interface Imported {
  report: StoreReport;
  trees: Tree[];
}

const imported = new Map<string, Promise<Imported>>();

function importOnce(layout: string): Promise<Imported> {
  const make = () =>
    withStore(async (store) => {
      const report = await store.import(layout, { platform });
      const trees: Tree[] = [];
      for (const { directory } of report.layers) {
        trees.push(await dumpTree(directory));
      }
      return { report, trees };
    });
  const known = imported.get(layout) ?? make();
  imported.set(layout, known);
  return known;
}

/** Expects the snapshots of a pull to be those of an import into another store: by their names, and file by file. */
export async function expectSameAsImport(
  pulled: StoreReport,
  layout: string,
  { files = true }: { files?: boolean } = {},
): Promise<void> {
  const { report, trees } = await importOnce(layout);
  const identity = ({ digest, diffID, chainID, counts, uncompressedSize }: StoreLayerReport) => ({
    ...{ digest, diffID, chainID, counts, uncompressedSize },
  });
  expect(pulled.layers.map(identity)).toEqual(report.layers.map(identity));
  expect(pulled.warnings).toEqual(report.warnings);
  for (const [index, tree] of (files ? trees : []).entries()) {
    const found = await dumpTree(pulled.layers[index]?.directory ?? '');
    expect(tree.size).toBeGreaterThan(0);
    expect(compareTrees(tree, found)).toEqual([]);
  }
}

/** Expects that all there is in a store is whole: blobs with their digests, committed snapshots, nothing staged. */
export async function expectWhole(store: Store): Promise<void> {
  for (const { digest } of store.content.list()) {
    const bytes = await readFile(await store.content.path(digest));
    expect(digestOf(bytes)).toBe(digest);
  }
  await store.snapshots.walk(({ kind, durability }) => {
    expect(kind).toBe('committed');
    expect(durability).not.toBe('lost');
  });
  expect(store.leases.list()).toEqual([]);
  const staging = path.join(store.root, 'staging');
  for (const area of await readdir(staging).catch(() => [])) {
    // What was cancelled is removed behind its back.
    await expect.poll(() => readdir(path.join(staging, area))).toEqual(['lock']);
  }
}
