// From entries to a tree on disk and back: makes an OCI layout of the given layers, unpacks it, and compares what a mount
// of the result shows with the model of sequential apply.

import path from 'node:path';
import { expect } from 'vitest';
import type { ImageReport, Policies, UnpackError, UnpackImageOptions } from '../../src/index.js';
import { unpackImage } from '../../src/index.js';
import type { LayerEntry } from './layer-entry.js';
import { type ModelFormat, sequentialApply } from './model.js';
import { dumpImage } from './mount.js';
import { withScratch } from './scratch.js';
import type { TarItem } from './tar-builder.js';
import { type CompareOptions, compareTrees, type Tree } from './tree.js';
import { type Layer, platform, writeImage } from './write-image.js';

export interface Unpacked {
  report: ImageReport;
  /** What the mount shows. */
  tree: Tree;
}

/** As unpackImage, for the platform of {@link writeImage}'s images. */
export function unpack(
  reference: string,
  destination: string,
  options: UnpackImageOptions = {},
): Promise<ImageReport> {
  return unpackImage(reference, destination, { platform, ...options });
}

/** Unpacks the layers in a scratch directory and reads the result as a mount shows it. */
export async function unpackLayers(
  layers: readonly Layer[],
  options: UnpackImageOptions = {},
): Promise<Unpacked> {
  return withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), layers);
    const report = await unpack(reference, path.join(scratch, 'image'), options);
    return { report, tree: await dumpImage(report) };
  });
}

/** The model's tree for the same format and policies. */
export function modelTree(layers: readonly Layer[], options: UnpackImageOptions = {}): Tree {
  const { symlinkParents, overlayXattrs, deviceWhiteouts }: Partial<Policies> =
    options.policies ?? {};
  const model = sequentialApply(layers as readonly LayerEntry[][], {
    ...(symlinkParents && { symlinkParents }),
    ...(overlayXattrs && { overlayXattrs }),
    ...(deviceWhiteouts && { deviceWhiteouts }),
  });
  return model.tree((options.format ?? 'overlay') as ModelFormat);
}

/** Unpacks, and expects the mounted result to be exactly the model's. */
export async function expectSequential(
  layers: readonly (readonly TarItem[])[],
  options: UnpackImageOptions = {},
  compare: CompareOptions = {},
): Promise<Unpacked> {
  const unpacked = await unpackLayers(layers, options);
  expect(compareTrees(modelTree(layers, options), unpacked.tree, compare)).toEqual([]);
  return unpacked;
}

/** Expects the layers to be refused with `code`; the error. */
export async function expectRefused(
  layers: readonly Layer[],
  code: string,
  options: UnpackImageOptions = {},
): Promise<UnpackError> {
  const error = await unpackLayers(layers, options).then(
    ({ tree }) => new Error(`accepted: ${[...tree.keys()].join(', ')}`),
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: 'UnpackError', code });
  return error as UnpackError;
}

/** `path type` of everything below the root, sorted; for expectations that are written out. */
export function listing(tree: Tree): string[] {
  return [...tree.values()]
    .filter(({ path: name }) => name !== '')
    .map(({ path: name, type, target, size }) => {
      if (type === 'directory') {
        return `${name}/`;
      }
      return type === 'symlink' ? `${name} -> ${target}` : `${name} ${size ?? type}`;
    })
    .sort();
}
