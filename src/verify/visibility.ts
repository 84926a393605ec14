// What a container does not see because of findings, or sees though it was deleted: the merged view as it should be,
// less what the damaged directories can still show of it.

import { lstatSync } from 'node:fs';
import { type LayerTree, loadBinding } from '../native/index.js';
import { parentOf } from './disk-path.js';
import type { Finding, PathList, Visibility } from './types.js';

/** Paths that are hidden, or revived; not bounded. */
export interface VisiblePaths {
  hidden: Set<string>;
  revived: Set<string>;
}

/** A snapshot and the ones on top of it. */
export interface Place {
  /** The merged view with this layer on top; and without. */
  tree: LayerTree;
  below: LayerTree | null;
  directory: string;
  /** The snapshot holds all layers below it too (kind native). */
  flat: boolean;
}

/** Paths at and below one finding that are looked at. */
const mostPaths = 1_000_000;

/** The paths that the findings of one snapshot hide or revive when it is mounted on top. */
export function visiblePaths(findings: readonly Finding[], place: Place): VisiblePaths {
  const hidden = new Set<string>();
  const revived = new Set<string>();
  for (const finding of findings) {
    const effect = effectOf(finding, place);
    for (const path of effect.hidden ?? []) {
      hidden.add(path);
    }
    for (const path of effect.revived ?? []) {
      revived.add(path);
    }
  }
  return { hidden, revived };
}

/**
 * What is left of it in an image: of the hidden paths those that its top layer should show, and no layer above
 * brings; of the revived those that it should not show, and no layer above covers.
 */
export function inImage(
  { hidden, revived }: VisiblePaths,
  top: LayerTree,
  above: readonly { directory: string }[],
): VisiblePaths {
  if (hidden.size === 0 && revived.size === 0) {
    return { hidden, revived };
  }
  const truth = new Set(merged(top, ''));
  return {
    hidden: filter(hidden, (path) => truth.has(path) && !above.some(isIn(path))),
    revived: filter(revived, (path) => !truth.has(path) && !above.some(covers(path))),
  };
}

/** The lists of a report. */
export function pathLists({ hidden, revived }: VisiblePaths, most: number): Visibility {
  return { hidden: listOf(hidden, most), revived: listOf(revived, most) };
}

function listOf(paths: ReadonlySet<string>, most: number): PathList {
  return { paths: [...paths].sort().slice(0, most), total: paths.size };
}

function effectOf(
  { kind, path, expected, found }: Finding,
  { tree, below, directory, flat }: Place,
): { hidden?: Iterable<string>; revived?: Iterable<string> } {
  switch (kind) {
    case 'missing-entry':
      return { hidden: merged(tree, path) };
    case 'stray-whiteout':
      return flat ? {} : { hidden: merged(tree, path) };
    case 'changed-type':
      return { hidden: expected?.type === 'directory' ? merged(tree, path) : [path] };
    case 'leaked-opaque': {
      const all = merged(tree, path);
      return { hidden: all.filter(notIn(directory)) };
    }
    case 'lost-opaque':
      return { revived: revivedDirectory(path, tree, below) };
    case 'lost-whiteout':
      return { revived: found === null ? merged(below, path) : [path] };
    case 'device-became-file':
      return expected?.type === 'whiteout' ? { revived: [path] } : {};
    case 'foreign-marker':
      if (expected?.type === 'whiteout') {
        return { revived: [path] };
      }
      return expected?.opaque && !found?.opaque
        ? { revived: revivedDirectory(path, tree, below) }
        : {};
    default:
      return {};
  }
}

function revivedDirectory(path: string, tree: LayerTree, below: LayerTree | null): string[] {
  const truth = new Set(merged(tree, path));
  return merged(below, path).filter((lower) => !truth.has(lower));
}

function merged(tree: LayerTree | null, path: string): string[] {
  return loadBinding().listMerged(tree, path, mostPaths).paths;
}

/** Tells of paths in order whether they are missing in `directory`; below what is missing it does not look. */
function notIn(directory: string): (path: string) => boolean {
  const missing = new Set<string>();
  return (path) => {
    const parent = parentOf(path);
    const gone =
      (parent !== undefined && missing.has(parent)) || statOf(directory, path) === undefined;
    if (gone) {
      missing.add(path);
    }
    return gone;
  };
}

function isIn(path: string): (layer: { directory: string }) => boolean {
  return ({ directory }) => statOf(directory, path) !== undefined;
}

/** Whether the layer has something at the path, or no directory above it. */
function covers(path: string): (layer: { directory: string }) => boolean {
  return ({ directory }) => {
    for (let at = parentOf(path); at !== undefined && at !== ''; at = parentOf(at)) {
      const stats = statOf(directory, at);
      if (stats !== undefined && !stats.isDirectory()) {
        return true;
      }
    }
    return statOf(directory, path) !== undefined;
  };
}

// A path that is not UTF-8 counts as not there.
function statOf(directory: string, path: string) {
  try {
    return lstatSync(`${directory}/${path}`, { throwIfNoEntry: false });
  } catch {
    return undefined; // something on the way is no directory
  }
}

function filter(paths: ReadonlySet<string>, fits: (path: string) => boolean): Set<string> {
  return new Set([...paths].filter(fits));
}
