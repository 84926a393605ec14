// Garbage collection: mark from images, containers, leases and `gc.root` labels along references and parents; what is
// not marked goes. The rules are containerd's. It takes records; the files of blobs and the directories of
// snapshots, which then have none, are removed by the cleanup of the content store and of each snapshotter.

import { decodeContent, decodeSnapshot, parentOfSnapshot } from './codec.js';
import type { Database, Transaction } from './database.js';
import {
  isSnapshot,
  keyOfResource,
  type NodeKey,
  ReferenceGraph,
  resourcesPrefix,
  siblingKey,
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
 * changes. `only`: of these resources those that are garbage, and on which nothing else lies.
 */
export function gc(
  database: Database,
  options: { dryRun?: boolean | undefined; only?: readonly Resource[] | undefined } = {},
): Garbage {
  const { only } = options;
  return options.dryRun
    ? database.view((tx) => findGarbage(tx).garbage)
    : database.update((tx) => {
        const { garbage, keys } = findGarbage(tx);
        if (only !== undefined) {
          return removeOnly(tx, garbage, only);
        }
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
  const graph = new ReferenceGraph(tx.tree, tx.now);
  const garbage: Garbage = { content: [], snapshots: [], leases: [] };
  const unmarked = graph.unmarked();
  const snapshots = new Map<NodeKey, Garbage['snapshots'][number]>();
  const parents = new Map<NodeKey, NodeKey>();
  for (const key of unmarked) {
    const value = tx.tree.get(key);
    if (isSnapshot(key)) {
      const { owner: snapshotter, name } = partsOf(key);
      const { id, usage, parent } = decodeSnapshot(name, value);
      const { size, inodes } = usage ?? { size: 0, inodes: 0 };
      snapshots.set(key, { snapshotter, key: name, id, size, inodes });
      if (parent !== undefined) {
        parents.set(key, siblingKey(key, parent));
      }
    } else {
      const { digest, size } = decodeContent(key.slice(2), value);
      garbage.content.push({ digest, size });
    }
  }
  garbage.snapshots = topFirst([...snapshots.keys()], parents).map((key) => snapshots.get(key)!);
  for (const key of graph.expired) {
    const { owner: namespace, name: id } = partsOf(key);
    garbage.leases.push({ namespace, id });
  }
  return { garbage, keys: [...unmarked, ...graph.expired] };
}

/** Each before its parent. Not by the ids: one that was lost and made again has a higher one than its children. */
function topFirst(keys: readonly NodeKey[], parents: ReadonlyMap<NodeKey, NodeKey>): NodeKey[] {
  const depths = new Map<NodeKey, number>();
  for (const key of keys) {
    const chain: NodeKey[] = [];
    let next: NodeKey | undefined = key;
    for (; next !== undefined && !depths.has(next); next = parents.get(next)) {
      chain.push(next);
    }
    let depth = next === undefined ? 0 : (depths.get(next) ?? 0);
    for (const one of chain.reverse()) {
      depths.set(one, ++depth);
    }
  }
  return keys.toSorted((a, b) => (depths.get(b) ?? 0) - (depths.get(a) ?? 0));
}

function removeOnly(tx: Transaction, garbage: Garbage, only: readonly Resource[]): Garbage {
  const wanted = new Set(only.map(keyOfResource));
  const take = (key: NodeKey | undefined): boolean => {
    if (key === undefined || !wanted.has(key)) {
      return false;
    }
    if (isSnapshot(key)) {
      const children = `${buckets.children}${key.slice(buckets.snapshots.length)}\t`;
      for (const _ of tx.tree.keys(children, 1)) {
        return false;
      }
    }
    removeRecord(tx, key);
    return true;
  };
  return {
    // Those on top first, so that what lies below has no children any more.
    snapshots: garbage.snapshots.filter(({ snapshotter, key }) =>
      take(keyOfResource({ type: `snapshots/${snapshotter}`, id: key })),
    ),
    content: garbage.content.filter(({ digest }) =>
      take(keyOfResource({ type: 'content', id: digest })),
    ),
    leases: [],
  };
}

function removeRecord(tx: Transaction, key: NodeKey): void {
  const { tree } = tx;
  if (isSnapshot(key)) {
    const { owner: snapshotter, name } = partsOf(key);
    const parent = parentOfSnapshot(tree.get(key));
    if (parent !== undefined) {
      tree.remove(`${buckets.children}\t${snapshotter}\t${parent}\t${name}`);
    }
  } else if (key.startsWith(`${buckets.leases}\t`)) {
    for (const resource of Array.from(tree.keys(resourcesPrefix(key)))) {
      tree.remove(resource);
    }
  }
  tree.remove(key);
}

function chainsTo(tx: Transaction, wanted: NodeKey): Reference[][] {
  const graph = new ReferenceGraph(tx.tree, tx.now);
  const node = graph.find(wanted);
  return node === undefined
    ? []
    : graph.chainsTo(node).map((chain) =>
        chain.map(({ key, label }) => ({
          ...referenceOf(key),
          ...(label !== undefined && { label }),
        })),
      );
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
