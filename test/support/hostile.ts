// The frame of the tests in test/security: a hostile image is unpacked as snapshots and flat, with a canary tree
// around the destination. It must be refused with the code that the test tells, or give what SEMANTICS.md gives.

import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { type Format, UnpackError, type UnpackImageOptions } from '../../src/index.js';
import { Canary } from './canary.js';
import { listing, modelTree, unpack } from './image.js';
import { dumpImage } from './mount.js';
import { withScratch } from './scratch.js';
import { compareTrees } from './tree.js';
import { type Layer, writeImage } from './write-image.js';

export interface Hostile {
  /** The layers, bottom first; the canary tells where victims lie. */
  layers: (canary: Canary) => readonly Layer[];
  /** The code of the error; absent when the image is harmless once it is applied correctly. */
  refused?: string;
  /** The result, where the layers are raw bytes that the model cannot read. */
  result?: readonly string[];
  /** Paths that must be in the result. */
  contains?: readonly string[];
  options?: UnpackImageOptions;
  formats?: readonly Format[];
}

/** A test of one hostile image. */
export function hostile(name: string, test: Hostile): void {
  it(name, async () => {
    for (const format of test.formats ?? (['overlay', 'flat'] as const)) {
      await withScratch((scratch) => attack(scratch, test, { ...test.options, format }));
    }
  });
}

async function attack(scratch: string, test: Hostile, options: UnpackImageOptions): Promise<void> {
  const canary = await Canary.create(path.join(scratch, 'canary'));
  const layers = test.layers(canary);
  const reference = await writeImage(path.join(scratch, 'layout'), layers);
  const outcome = await unpack(reference, canary.destination, options).catch(
    (error: unknown) => error as Error,
  );
  expect(await canary.differences(), 'outside of the destination').toEqual([]);
  if (test.refused !== undefined) {
    expect(outcome, 'it should have been refused').toBeInstanceOf(Error);
    expect(outcome).toMatchObject({ code: test.refused });
    expect(outcome).toBeInstanceOf(UnpackError);
    await expectNothingLeft(canary.destination, layers.length);
    return;
  }
  if (outcome instanceof Error) {
    throw outcome;
  }
  const tree = await dumpImage(outcome);
  if (test.result !== undefined) {
    expect(listing(tree)).toEqual([...test.result].sort());
  } else {
    expect(compareTrees(modelTree(layers, options), tree)).toEqual([]);
  }
  expect(listing(tree)).toEqual(expect.arrayContaining([...(test.contains ?? [])]));
}

/** After an error: no image.json, nothing staged, and not the topmost layer. */
export async function expectNothingLeft(destination: string, layers: number): Promise<void> {
  const top = path.join(destination, 'layers', String(layers - 1).padStart(3, '0'));
  for (const gone of [
    path.join(destination, 'image.json'),
    path.join(destination, 'rootfs'),
    top,
  ]) {
    expect(await lstat(gone).catch(() => undefined), gone).toBeUndefined();
  }
  const own = path.join(destination, '.oci-unpack');
  const staged = await readdir(path.join(own, 'staging')).catch(() => []);
  expect(staged, 'the staging directory').toEqual([]);
}
