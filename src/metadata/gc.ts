// Garbage collection: mark from images, containers, leases and `gc.root` labels along references and parents; what is
// not marked goes. The rules are containerd's. It takes records; the files of blobs and the directories of
// snapshots, which then have none, are removed by the cleanup of the content store and of each snapshotter.

import { parentOfSnapshot } from './codec.js';
import type { Database, Transaction } from './database.js';
import {
  isSnapshot,
  keyOfResource,
  type NodeKey,
  ReferenceGraph,
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
  for (const { key, size, inodes, id } of unmarked) {
    if (isSnapshot(key)) {
      const { owner: snapshotter, name } = partsOf(key);
      garbage.snapshots.push({ snapshotter, key: name, id, size, inodes });
    } else {
      garbage.content.push({ digest: key.slice(2), size });
    }
  }
  for (const key of graph.expired) {
    const { owner: namespace, name: id } = partsOf(key);
    garbage.leases.push({ namespace, id });
  }
  return { garbage, keys: [...unmarked.map(({ key }) => key), ...graph.expired] };
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
    const prefix = resourcesPrefix(key);
    for (const resource of Array.from(tree.keys(prefix))) {
      tree.remove(prefix + resource);
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
