// Chains of layers by way of the addon alone: written to directories, or planned only (dry), and what their trees say.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import {
  type AuditResult,
  type LayerOptions,
  type LayerTree,
  loadBinding,
  type Note,
} from '../../src/native/index.js';
import { tar } from './tar-builder.js';
import type { Layer } from './write-image.js';

export type Format = LayerOptions['format'];

export interface ChainOptions {
  format: Format;
  /** As `createGroup`'s. */
  concurrency?: number;
  policies?: Partial<LayerOptions['policies']>;
}

/** One layer of a chain, settled. */
export interface ChainLayer {
  tree: LayerTree;
  /** Where its files are; of a dry chain none. Format flat: all layers up to the last one of the chain. */
  directory: string | undefined;
  /** What settle wrote. */
  index: Buffer;
  replanned: boolean;
  notes: Note[];
}

const defaultPolicies: LayerOptions['policies'] = {
  symlinkParents: 'follow',
  overlayXattrs: 'escape',
  xattrs: 'strict',
  devices: 'create',
  deviceWhiteouts: 'error',
  trailingGarbage: 'error',
  ownership: 'apply',
};

/** The layers' blobs, gzip and plain by turns, as files in `directory`. */
export async function writeBlobs(directory: string, layers: readonly Layer[]): Promise<string[]> {
  await mkdir(directory, { recursive: true });
  return Promise.all(
    layers.map(async (layer, i) => {
      const bytes = Buffer.isBuffer(layer) ? layer : tar(layer);
      const file = path.join(directory, `blob-${i}`);
      await writeFile(file, i % 2 === 0 ? gzipSync(bytes, { level: 1 }) : bytes);
      return file;
    }),
  );
}

/** Unpacks the blobs into directories below `directory`, all at once, and settles them bottom-up. */
export function unpackChain(
  directory: string,
  blobs: readonly string[],
  options: ChainOptions,
  below: LayerTree | null = null,
): Promise<ChainLayer[]> {
  return runChain(directory, blobs, options, false, below);
}

/** The trees of the same layers, without writing them; indexes go to `directory`. */
export function planChain(
  directory: string,
  blobs: readonly string[],
  options: ChainOptions,
): Promise<ChainLayer[]> {
  return runChain(directory, blobs, options, true, null);
}

async function runChain(
  directory: string,
  blobs: readonly string[],
  { format, concurrency = 0, policies }: ChainOptions,
  dry: boolean,
  bottom: LayerTree | null,
): Promise<ChainLayer[]> {
  const binding = loadBinding();
  const group = binding.createGroup(concurrency);
  await mkdir(directory, { recursive: true });
  const flatRoot = path.join(directory, 'root');
  if (format === 'flat' && !dry) {
    await mkdir(flatRoot);
  }
  const jobs = [];
  for (const [i, blob] of blobs.entries()) {
    const layer = path.join(directory, `layer-${i}`);
    if (!dry) {
      await mkdir(layer);
    }
    jobs.push(
      binding.startLayer({
        source: { path: blob },
        ...(dry ? { dry } : { directory: layer }),
        format,
        hasLower: i > 0 || bottom !== null,
        label: blob,
        group,
        policies: { ...defaultPolicies, ...policies },
        limits: {},
      }),
    );
  }
  const started = await Promise.allSettled(jobs.map(({ done }) => done));
  const failed = started.find((result) => result.status === 'rejected');
  if (failed !== undefined) {
    throw failed.reason;
  }
  const layers: ChainLayer[] = [];
  let below = bottom;
  for (const [i, job] of jobs.entries()) {
    const indexPath = path.join(directory, `index-${i}`);
    const flat = format === 'flat' && !dry;
    const settled = await job.settle(below, { indexPath, ...(flat && { flatRoot }) });
    below = settled.tree;
    layers.push({
      tree: settled.tree,
      directory: dry ? undefined : flat ? flatRoot : path.join(directory, `layer-${i}`),
      index: await readFile(indexPath),
      replanned: settled.replanned,
      notes: settled.notes,
    });
  }
  return layers;
}

/** Compares a directory with a tree; everything that differs. */
export function audit(
  tree: LayerTree,
  directory: string,
  options: ChainOptions & { threads?: number; content?: boolean },
): Promise<AuditResult> {
  const { format, threads = 2, content = true, policies } = options;
  return loadBinding().auditTree({
    tree,
    directory,
    format,
    content,
    threads,
    mostDifferences: 10_000,
    policies: { ...defaultPolicies, ...policies },
  }).done;
}
