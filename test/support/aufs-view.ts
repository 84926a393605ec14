// The merged view that aufs gives of its branches (aufs.5, "Whiteout"): `.wh.NAME` hides NAME in the branches
// below and in its own (au_do_lookup() looks for the whiteout first), `.wh..wh..opq` everything that the branches
// below have in its directory, and no name that begins with `.wh.` is shown.

import type { Tree, TreeEntry } from './tree.js';

/** The view of `branches`, bottom first. */
export function aufsView(branches: readonly Tree[]): Tree {
  let view: Tree = new Map();
  for (const [number, branch] of branches.entries()) {
    view = withBranch(view, branch, number);
  }
  return view;
}

/** The view of `number` branches with another one on top. */
export function withBranch(below: Tree, branch: Tree, number: number): Tree {
  const view: Tree = new Map(below);
  hide(view, branch);
  for (const entry of branch.values()) {
    if (!isHidden(branch, entry.path)) {
      show(view, entry, number);
    }
  }
  return view;
}

function hide(view: Tree, branch: Tree): void {
  for (const path of branch.keys()) {
    const slash = path.lastIndexOf('/') + 1;
    const [parent, name] = [path.slice(0, slash), path.slice(slash)];
    if (name === '.wh..wh..opq') {
      remove(view, (candidate) => candidate !== '' && candidate.startsWith(parent));
    } else if (name.startsWith('.wh.') && !name.startsWith('.wh..wh.')) {
      const hidden = parent + name.slice('.wh.'.length);
      remove(view, (candidate) => candidate === hidden || candidate.startsWith(`${hidden}/`));
    }
  }
}

function show(view: Tree, entry: TreeEntry, branch: number): void {
  const below = view.get(entry.path);
  if (below !== undefined && !(below.type === 'directory' && entry.type === 'directory')) {
    remove(view, (candidate) => candidate.startsWith(`${entry.path}/`));
  }
  view.set(entry.path, { ...entry, inode: `${branch} ${entry.inode}` });
}

function remove(view: Tree, matches: (path: string) => boolean): void {
  for (const path of [...view.keys()]) {
    if (matches(path)) {
      view.delete(path);
    }
  }
}

// Whether `path` is a name of aufs' own, or has a whiteout beside it or beside a directory above it.
function isHidden(branch: Tree, path: string): boolean {
  const parts = path.split('/');
  return parts.some(
    (part, i) =>
      part.startsWith('.wh.') ||
      (part !== '' && branch.has([...parts.slice(0, i), `.wh.${part}`].join('/'))),
  );
}
