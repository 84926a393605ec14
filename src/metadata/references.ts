// Who refers to what: the graph that garbage collection marks. Its nodes are named by the keys of their records, so
// that nothing is translated while hundreds of thousands of them are read.

import {
  containerReferenceOf,
  type FlatLabels,
  flatLabelsOf,
  imageTargetOf,
  leaseExpiryOf,
  parentOfSnapshot,
} from './codec.js';
import { buckets, gcLabels, knownLabels, type Time } from './schema.js';
import type { Tree } from './tree.js';

/** The key of a record: of content, a snapshot, an image, a container or a lease. */
export type NodeKey = string;

/** Called with each thing that a node refers to; `via` is the label, where it is one. */
export type Emit = (target: NodeKey, via: string | undefined) => void;

const contentPrefix = `${buckets.content}\t`;
const snapshotsPrefix = `${buckets.snapshots}\t`;
const rootLabel = knownLabels.indexOf(gcLabels.root);

/** For a label that is a reference: what the key of its target begins with. */
function prefixOfReference(label: string): string | undefined {
  if (label.startsWith(gcLabels.refContent)) {
    const next = label[gcLabels.refContent.length];
    return next === undefined || next === '.' || next === '/' ? contentPrefix : undefined;
  }
  if (label.startsWith(gcLabels.refSnapshot)) {
    const name = label.slice(gcLabels.refSnapshot.length);
    const slash = name.indexOf('/');
    return `${snapshotsPrefix}${slash === -1 ? name : name.slice(0, slash)}\t`;
  }
  return undefined;
}

const knownPrefixes = knownLabels.map(prefixOfReference);

/** All nodes that can be collected, with what is stored of them. */
export function readNodes(tree: Tree): Map<NodeKey, unknown> {
  const nodes = new Map<NodeKey, unknown>();
  for (const prefix of [contentPrefix, snapshotsPrefix]) {
    for (const { key, value } of tree.range(prefix)) {
      nodes.set(key, value);
    }
  }
  return nodes;
}

export function isSnapshot(key: NodeKey): boolean {
  return key.startsWith(snapshotsPrefix);
}

/** What content or a snapshot refers to. */
export function references(key: NodeKey, value: unknown, emit: Emit): void {
  parentReference(key, value, emit);
  labelReferences(flatLabelsOf(value), emit);
}

/** The parent of a snapshot. */
export function parentReference(key: NodeKey, value: unknown, emit: Emit): void {
  if (isSnapshot(key)) {
    const parent = parentOfSnapshot(value);
    if (parent !== undefined) {
      emit(key.slice(0, key.indexOf('\t', snapshotsPrefix.length) + 1) + parent, undefined);
    }
  }
}

/** Whether content or a snapshot is a root by its label. */
export function isRoot(value: unknown): boolean {
  const labels = flatLabelsOf(value);
  for (let at = 0; at < labels.length; at += 2) {
    if (labels[at] === rootLabel) {
      return true;
    }
  }
  return false;
}

/** An image, container or lease, with what it refers to. */
export interface Root {
  key: NodeKey;
  /** A lease that holds its resources and not what they refer to. */
  isFlat: boolean;
  each(emit: Emit): void;
}

/** The images, containers and leases of all namespaces; leases that have expired are told apart. */
export function readRoots(tree: Tree, now: Time): { roots: Root[]; expired: NodeKey[] } {
  const roots: Root[] = [];
  const expired: NodeKey[] = [];
  for (const { key, value } of tree.range(`${buckets.images}\t`)) {
    roots.push({
      key,
      isFlat: false,
      each: (emit) => {
        emit(contentPrefix + imageTargetOf(value), undefined);
        labelReferences(flatLabelsOf(value), emit);
      },
    });
  }
  for (const { key, value } of tree.range(`${buckets.containers}\t`)) {
    roots.push({
      key,
      isFlat: false,
      each: (emit) => {
        const { snapshotter, snapshotKey } = containerReferenceOf(value);
        if (snapshotKey !== '') {
          emit(`${snapshotsPrefix}${snapshotter}\t${snapshotKey}`, undefined);
        }
        labelReferences(flatLabelsOf(value), emit);
      },
    });
  }
  for (const { key, value } of tree.range(`${buckets.leases}\t`)) {
    const expiresAt = leaseExpiryOf(value);
    if (expiresAt !== undefined && expiresAt <= now) {
      expired.push(key);
      continue;
    }
    const isFlat = hasLabel(flatLabelsOf(value), gcLabels.flat);
    roots.push({ key, isFlat, each: (emit) => leaseReferences(tree, key, emit) });
  }
  return { roots, expired };
}

/** What the keys of a lease's resources begin with. */
export function resourcesPrefix(lease: NodeKey): string {
  return `${buckets.leaseResources}${lease.slice(buckets.leases.length)}\t`;
}

function leaseReferences(tree: Tree, lease: NodeKey, emit: Emit): void {
  const prefix = resourcesPrefix(lease);
  for (const key of tree.keys(prefix)) {
    const tab = key.indexOf('\t', prefix.length);
    const type = key.slice(prefix.length, tab);
    const target = keyOfResource({ type, id: key.slice(tab + 1) });
    if (target !== undefined) {
      emit(target, undefined);
    }
  }
}

/** The key of content or of a snapshot; undefined for other types. */
export function keyOfResource({ type, id }: { type: string; id: string }): NodeKey | undefined {
  if (type === 'content') {
    return contentPrefix + id;
  }
  const prefix = 'snapshots/';
  return type.startsWith(prefix)
    ? `${snapshotsPrefix}${type.slice(prefix.length)}\t${id}`
    : undefined;
}

function labelReferences(labels: FlatLabels, emit: Emit): void {
  for (let at = 0; at < labels.length; at += 2) {
    const label = labels[at] as string | number;
    const prefix = typeof label === 'number' ? knownPrefixes[label] : prefixOfReference(label);
    if (prefix !== undefined) {
      emit(
        prefix + (labels[at + 1] as string),
        typeof label === 'number' ? knownLabels[label] : label,
      );
    }
  }
}

function hasLabel(labels: FlatLabels, name: string): boolean {
  return labels.some((label, at) => at % 2 === 0 && label === name);
}
