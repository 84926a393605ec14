// Garbage collection: mark from images, containers, leases and `gc.root` labels along references and parents; what is
// not marked goes. The rules are containerd's. It takes records; the files of blobs and the directories of
// snapshots, which then have none, are removed by the cleanup of the content store and of each snapshotter.

import { decodeContent, decodeSnapshot } from './codec.js';
import type { Database, Transaction } from './database.js';
import {
  isRoot,
  isSnapshot,
  keyOfResource,
  type NodeKey,
  parentReference,
  readNodes,
  readRoots,
  references,
  resourcesPrefix,
} from './references.js';
import { buckets, type Resource } from './schema.js';

/** What garbage collection took, or would take. */
export interface Garbage {
  content: { digest: string; size: number }[];
  /** Those on top first. `size` and `inodes` are 0 where they are not known. */
  snapshots: { snapshotter: string; key: string; id: number; size: number; inodes: number }[];
  /** Leases that had expired. */
  leases: { namespace: string; id: string }[];
}

/** A step of what keeps a resource. */
export interface Reference extends Resource {
  /** Of images, containers and leases. */
  namespace?: string;
  /** The label by which the one before refers to this one; without, it does by its nature. */
  label?: string;
}

/**
 * Collects garbage, in one write transaction, so that nothing comes to be referred to meanwhile. With `dryRun` nothing
 * changes.
 */
export function gc(database: Database, options: { dryRun?: boolean | undefined } = {}): Garbage {
  return options.dryRun
    ? database.view((tx) => findGarbage(tx).garbage)
    : database.update((tx) => {
        const { garbage, keys } = findGarbage(tx);
        for (const key of keys) {
          removeRecord(tx, key);
        }
        return garbage;
      });
}

/**
 * What keeps a blob or a snapshot: for each image, container, lease or `gc.root` label that does, the shortest chain
 * from it to the resource, which is its last step. Empty for what would be collected or is not there.
 *
 * @param resource `{type: 'content', id: DIGEST}` or `{type: 'snapshots/SNAPSHOTTER', id: KEY}`
 */
export function why(database: Database, resource: Resource): Reference[][] {
  const wanted = keyOfResource(resource);
  return wanted === undefined ? [] : database.view((tx) => chainsTo(tx, wanted));
}

function findGarbage(tx: Transaction): { garbage: Garbage; keys: NodeKey[] } {
  const nodes = readNodes(tx.tree);
  const { roots, expired } = readRoots(tx.tree, tx.now);
  const marked = mark(nodes, roots);
  const garbage: Garbage = { content: [], snapshots: [], leases: [] };
  const keys: NodeKey[] = [];
  for (const [key, value] of nodes) {
    if (marked.has(key)) {
      continue;
    }
    keys.push(key);
    if (isSnapshot(key)) {
      const { owner: snapshotter, name } = partsOf(key);
      const { id, usage } = decodeSnapshot(name, value);
      const { size, inodes } = usage ?? { size: 0, inodes: 0 };
      garbage.snapshots.push({ snapshotter, key: name, id, size, inodes });
    } else {
      const { digest, size } = decodeContent(key.slice(buckets.content.length + 1), value);
      garbage.content.push({ digest, size });
    }
  }
  // A child is made after its parent, with a higher id.
  garbage.snapshots.sort((a, b) => b.id - a.id);
  for (const key of expired) {
    const { owner: namespace, name: id } = partsOf(key);
    garbage.leases.push({ namespace, id });
    keys.push(key);
  }
  return { garbage, keys };
}

/** The keys of all nodes that something keeps. */
function mark(
  nodes: ReadonlyMap<NodeKey, unknown>,
  roots: ReturnType<typeof readRoots>['roots'],
): Set<NodeKey> {
  const marked = new Set<NodeKey>();
  const pending: NodeKey[] = [];
  const reach = (key: NodeKey) => {
    if (!marked.has(key) && nodes.has(key)) {
      marked.add(key);
      pending.push(key);
    }
  };
  for (const root of roots) {
    if (!root.isFlat) {
      root.each(reach);
    }
  }
  for (const [key, value] of nodes) {
    if (isRoot(value)) {
      reach(key);
    }
  }
  for (let key = pending.pop(); key !== undefined; key = pending.pop()) {
    references(key, nodes.get(key), reach);
  }
  // Last, since what a flat lease alone holds is not followed, but for a snapshot's parents: it is nothing without.
  for (const root of roots) {
    if (root.isFlat) {
      root.each(reach);
    }
  }
  for (let key = pending.pop(); key !== undefined; key = pending.pop()) {
    parentReference(key, nodes.get(key), reach);
  }
  return marked;
}

function removeRecord(tx: Transaction, key: NodeKey): void {
  const { tree } = tx;
  if (isSnapshot(key)) {
    parentReference(key, tree.get(key), (parent) => {
      const index = `${buckets.children}${parent.slice(buckets.snapshots.length)}`;
      tree.remove(`${index}\t${partsOf(key).name}`);
    });
  } else if (key.startsWith(`${buckets.leases}\t`)) {
    for (const resource of Array.from(tree.keys(resourcesPrefix(key)))) {
      tree.remove(resource);
    }
  }
  tree.remove(key);
}

function chainsTo(tx: Transaction, wanted: NodeKey): Reference[][] {
  const nodes = readNodes(tx.tree);
  if (!nodes.has(wanted)) {
    return [];
  }
  const referrers = new Map<NodeKey, Referrer[]>();
  const note = (from: NodeKey) => (target: NodeKey, via: string | undefined) => {
    const known = referrers.get(target);
    if (known === undefined) {
      referrers.set(target, [{ from, via }]);
    } else {
      known.push({ from, via });
    }
  };
  const labelled = new Set<NodeKey>();
  for (const [key, value] of nodes) {
    references(key, value, note(key));
    if (isRoot(value)) {
      labelled.add(key);
    }
  }
  const ordinary = new Set<NodeKey>();
  const flat = new Set<NodeKey>();
  for (const root of readRoots(tx.tree, tx.now).roots) {
    (root.isFlat ? flat : ordinary).add(root.key);
    root.each(note(root.key));
  }
  // What a flat lease holds it holds along parents alone.
  const isParent = ({ from, via }: Referrer) => via === undefined && isSnapshot(from);
  return [
    ...search(wanted, referrers, () => true, ordinary, labelled),
    ...search(wanted, referrers, isParent, flat, new Set()),
  ];
}

/** Searches from the resource backwards, so that each root that is found has its shortest chain. */
function search(
  wanted: NodeKey,
  referrers: ReadonlyMap<NodeKey, readonly Referrer[]>,
  isFollowed: (referrer: Referrer) => boolean,
  roots: ReadonlySet<NodeKey>,
  labelled: ReadonlySet<NodeKey>,
): Reference[][] {
  const chains: Reference[][] = [];
  const seen = new Set([wanted]);
  let steps: Step[] = [{ key: wanted }];
  while (steps.length > 0) {
    const earlier: Step[] = [];
    for (const step of steps) {
      if (labelled.has(step.key)) {
        chains.push(chainFrom(step));
      }
      for (const referrer of referrers.get(step.key) ?? []) {
        const { from, via } = referrer;
        const isEnd = roots.has(from);
        if (seen.has(from) || !(isEnd || isFollowed(referrer))) {
          continue;
        }
        seen.add(from);
        const previous = { key: from, next: step, via };
        if (isEnd) {
          chains.push(chainFrom(previous));
        } else {
          earlier.push(previous);
        }
      }
    }
    steps = earlier;
  }
  return chains;
}

interface Referrer {
  from: NodeKey;
  /** The label by which it refers. */
  via: string | undefined;
}

/** A node on the way to the resource. */
interface Step {
  key: NodeKey;
  next?: Step;
  /** The label by which this one refers to the next. */
  via?: string | undefined;
}

function chainFrom(first: Step): Reference[] {
  const chain: Reference[] = [];
  let label: string | undefined;
  for (let step: Step | undefined = first; step !== undefined; step = step.next) {
    const reference = referenceOf(step.key);
    if (label !== undefined) {
      reference.label = label;
    }
    chain.push(reference);
    label = step.via;
  }
  return chain;
}

function referenceOf(key: NodeKey): Reference {
  const bucket = key[0];
  if (bucket === buckets.content) {
    return { type: 'content', id: key.slice(2) };
  }
  const { owner, name: id } = partsOf(key);
  switch (bucket) {
    case buckets.snapshots:
      return { type: `snapshots/${owner}`, id };
    case buckets.images:
      return { type: 'images', id, namespace: owner };
    case buckets.containers:
      return { type: 'containers', id, namespace: owner };
    default:
      return { type: 'leases', id, namespace: owner };
  }
}

/** The parts of a key of three: bucket, snapshotter or namespace, and name. */
function partsOf(key: NodeKey): { owner: string; name: string } {
  const tab = key.indexOf('\t', 2);
  return { owner: key.slice(2, tab), name: key.slice(tab + 1) };
}
