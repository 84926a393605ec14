// Who refers to what: the graph that garbage collection marks. A store may have hundreds of thousands of nodes, so
// that all is numbers: nodes are numbered as their keys are met, and edges stand in typed arrays. Records are
// read once, in order of their keys, and nothing of them is kept but the key.

import {
  containerReferenceOf,
  contentSizeOf,
  flatLabelsOf,
  imageTargetOf,
  leaseExpiryOf,
  parentOfSnapshot,
  snapshotFactsOf,
} from './codec.js';
import { buckets, gcLabels, knownLabels, type Time } from './schema.js';
import type { Tree } from './tree.js';

/** The key of a record: of content, a snapshot, an image, a container or a lease. */
export type NodeKey = string;

const contentPrefix = `${buckets.content}\t`;
const snapshotsPrefix = `${buckets.snapshots}\t`;
const rootLabel = knownLabels.indexOf(gcLabels.root);
/** Instead of the number of a label: a reference by nature. */
const noLabel = -1;

/** What a node is; content and snapshots can be collected. */
const role = { absent: 0, content: 1, snapshot: 2, root: 3, flatRoot: 4 } as const;

/** The graph of all references at one moment. */
export class ReferenceGraph {
  /** By number. Some are of nodes that are not there and are only referred to. */
  readonly keys: NodeKey[] = [];
  /** Leases that have expired; they are no nodes. */
  readonly expired: NodeKey[] = [];
  readonly #numbers = new Map<NodeKey, number>();
  #roles = new Uint8Array(1024);
  /** Content and snapshots with a `gc.root` label. */
  readonly #labelled: number[] = [];
  readonly #roots: number[] = [];
  readonly #labels: string[] = [...knownLabels];
  readonly #labelNumbers = new Map(knownLabels.map((label, number) => [label, number]));
  /** Edges in the order in which they are read: from, to, label. */
  #edges = new Int32Array(3 * 1024);
  #edgeCount = 0;
  /** By node: bytes; of snapshots also inodes and id. */
  #facts = new Float64Array(3 * 1024);

  /** Reads all of it, in the transaction that the tree is in. */
  constructor(tree: Tree, now: Time) {
    for (const [digest, value] of tree.range(contentPrefix)) {
      const node = this.#addNode(contentPrefix + digest, role.content, value);
      this.#facts[3 * node] = contentSizeOf(value);
    }
    for (const [rest, value] of tree.range(snapshotsPrefix)) {
      const key = snapshotsPrefix + rest;
      const node = this.#addNode(key, role.snapshot, value);
      this.#facts.set(snapshotFactsOf(value), 3 * node);
      const parent = parentOfSnapshot(value);
      if (parent !== undefined) {
        this.#addEdge(node, siblingKey(key, parent), noLabel);
      }
    }
    const imagesPrefix = `${buckets.images}\t`;
    for (const [rest, value] of tree.range(imagesPrefix)) {
      const root = this.#addRoot(imagesPrefix + rest, role.root, value);
      this.#addEdge(root, contentPrefix + imageTargetOf(value), noLabel);
    }
    const containersPrefix = `${buckets.containers}\t`;
    for (const [rest, value] of tree.range(containersPrefix)) {
      const root = this.#addRoot(containersPrefix + rest, role.root, value);
      const { snapshotter, snapshotKey } = containerReferenceOf(value);
      if (snapshotKey !== '') {
        this.#addEdge(root, `${snapshotsPrefix}${snapshotter}\t${snapshotKey}`, noLabel);
      }
    }
    const leasesPrefix = `${buckets.leases}\t`;
    for (const [rest, value] of tree.range(leasesPrefix)) {
      this.#addLease(tree, now, leasesPrefix + rest, value);
    }
  }

  find(key: NodeKey): number | undefined {
    const node = this.#numbers.get(key);
    return node === undefined || this.#roles[node] === role.absent ? undefined : node;
  }

  /** Content and snapshots that nothing keeps; snapshots before their parents. */
  unmarked(): Unmarked[] {
    const outOf = this.#index(0);
    const marked = this.#mark(outOf);
    const depths = new Int32Array(this.keys.length);
    const nodes: number[] = [];
    for (let node = 0; node < marked.length; node++) {
      if (this.#isCollectable(node) && marked[node] === 0) {
        nodes.push(node);
        this.#measureDepth(node, outOf, depths);
      }
    }
    // Not by the ids: a snapshot that was lost and made again has a higher one than its children.
    nodes.sort((a, b) => (depths[b] as number) - (depths[a] as number));
    return nodes.map((node) => ({
      key: this.keys[node] as NodeKey,
      size: this.#facts[3 * node] as number,
      inodes: this.#facts[3 * node + 1] as number,
      id: this.#facts[3 * node + 2] as number,
    }));
  }

  /** Sets how many snapshots a snapshot is the top of, and the same of those below. */
  #measureDepth(node: number, outOf: EdgeIndex, depths: Int32Array): void {
    const chain: number[] = [];
    let next: number | undefined = node;
    while (next !== undefined && depths[next] === 0) {
      chain.push(next);
      const past = outOf.first(next + 1);
      // The edge to the parent is the last; see the constructor.
      const edge: number = past > outOf.first(next) ? outOf.edge(past - 1) : -1;
      next = edge >= 0 && this.#isParent(edge) ? this.#edges[edge + 1] : undefined;
    }
    let depth = next === undefined ? 0 : (depths[next] as number);
    for (const one of chain.reverse()) {
      depths[one] = ++depth;
    }
  }

  /**
   * For each root that keeps the node, the shortest chain from it.
   */
  chainsTo(wanted: number): ChainStep[][] {
    const into = this.#index(1);
    const labelled = new Set(this.#labelled);
    return [
      ...this.#search(wanted, into, role.root, labelled, () => true),
      // What a flat lease holds it holds along parents alone.
      ...this.#search(wanted, into, role.flatRoot, new Set(), (edge) => this.#isParent(edge)),
    ];
  }

  /** Marks what is kept: 1 by node. */
  #mark(outOf: EdgeIndex): Uint8Array {
    const marked = new Uint8Array(this.keys.length);
    const pending: number[] = [];
    const follow = (isFollowed: (edge: number) => boolean) => {
      for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
        for (let at = outOf.first(node); at < outOf.first(node + 1); at++) {
          const edge = outOf.edge(at);
          const target = this.#edges[edge + 1] as number;
          if (marked[target] === 0 && isFollowed(edge)) {
            marked[target] = 1;
            pending.push(target);
          }
        }
      }
    };
    const startAt = (node: number) => {
      marked[node] = 1;
      pending.push(node);
    };
    for (const root of this.#roots) {
      if (this.#roles[root] === role.root) {
        startAt(root);
      }
    }
    this.#labelled.forEach(startAt);
    follow(() => true);
    // Last, since what a flat lease alone holds is not followed, but for a snapshot's parents: it is nothing without.
    for (const root of this.#roots) {
      if (this.#roles[root] === role.flatRoot) {
        startAt(root);
      }
    }
    follow(
      (edge) => this.#roles[this.#edges[edge] as number] === role.flatRoot || this.#isParent(edge),
    );
    return marked;
  }

  /** Searches backwards, so that each root that is found has its shortest chain. */
  #search(
    wanted: number,
    into: EdgeIndex,
    rootRole: number,
    labelled: ReadonlySet<number>,
    isFollowed: (edge: number) => boolean,
  ): ChainStep[][] {
    const chains: ChainStep[][] = [];
    const seen = new Set([wanted]);
    let links: Link[] = [{ node: wanted }];
    while (links.length > 0) {
      const earlier: Link[] = [];
      for (const link of links) {
        if (labelled.has(link.node)) {
          chains.push(this.#chainFrom(link));
        }
        for (let at = into.first(link.node); at < into.first(link.node + 1); at++) {
          const edge = into.edge(at);
          const node = this.#edges[edge] as number;
          const isEnd = this.#roles[node] === rootRole;
          if (seen.has(node) || !(isEnd || (this.#isCollectable(node) && isFollowed(edge)))) {
            continue;
          }
          seen.add(node);
          const previous = { node, next: link, label: this.#edges[edge + 2] as number };
          if (isEnd) {
            chains.push(this.#chainFrom(previous));
          } else {
            earlier.push(previous);
          }
        }
      }
      links = earlier;
    }
    return chains;
  }

  #chainFrom(first: Link): ChainStep[] {
    const chain: ChainStep[] = [];
    let label: string | undefined;
    for (let link: Link | undefined = first; link !== undefined; link = link.next) {
      chain.push({ key: this.keys[link.node] as NodeKey, label });
      label = this.#labels[link.label ?? noLabel];
    }
    return chain;
  }

  #isCollectable(node: number): boolean {
    return this.#roles[node] === role.content || this.#roles[node] === role.snapshot;
  }

  #isParent(edge: number): boolean {
    const from = this.#edges[edge] as number;
    return this.#roles[from] === role.snapshot && this.#edges[edge + 2] === noLabel;
  }

  #addLease(tree: Tree, now: Time, key: NodeKey, value: unknown): void {
    const expiresAt = leaseExpiryOf(value);
    if (expiresAt !== undefined && expiresAt <= now) {
      this.expired.push(key);
      return;
    }
    const lease = this.#number(key);
    const labels = flatLabelsOf(value);
    const isFlat = labels.some((label, at) => at % 2 === 0 && label === gcLabels.flat);
    this.#roles[lease] = isFlat ? role.flatRoot : role.root;
    this.#roots.push(lease);
    for (const resource of tree.keys(resourcesPrefix(key))) {
      const tab = resource.indexOf('\t');
      const type = resource.slice(0, tab);
      const target = keyOfResource({ type, id: resource.slice(tab + 1) });
      if (target !== undefined) {
        this.#addEdge(lease, target, noLabel);
      }
    }
  }

  #addRoot(key: NodeKey, rootRole: number, value: unknown): number {
    const node = this.#addNode(key, rootRole, value);
    this.#roots.push(node);
    return node;
  }

  /** Adds a node with the references of its labels. */
  #addNode(key: NodeKey, nodeRole: number, value: unknown): number {
    const node = this.#number(key);
    this.#roles[node] = nodeRole;
    const labels = flatLabelsOf(value);
    for (let at = 0; at < labels.length; at += 2) {
      const label = labels[at] as string | number;
      if (label === rootLabel) {
        this.#labelled.push(node);
      }
      const prefix = typeof label === 'number' ? knownPrefixes[label] : prefixOfReference(label);
      if (prefix !== undefined) {
        const target = prefix + (labels[at + 1] as string);
        this.#addEdge(node, target, typeof label === 'number' ? label : this.#labelNumber(label));
      }
    }
    return node;
  }

  #number(key: NodeKey): number {
    let node = this.#numbers.get(key);
    if (node === undefined) {
      node = this.keys.length;
      this.keys.push(key);
      this.#numbers.set(key, node);
      if (node === this.#roles.length) {
        const grown = new Uint8Array(2 * node);
        grown.set(this.#roles);
        this.#roles = grown;
        const facts = new Float64Array(6 * node);
        facts.set(this.#facts);
        this.#facts = facts;
      }
    }
    return node;
  }

  #labelNumber(label: string): number {
    let number = this.#labelNumbers.get(label);
    if (number === undefined) {
      number = this.#labels.length;
      this.#labels.push(label);
      this.#labelNumbers.set(label, number);
    }
    return number;
  }

  #addEdge(from: number, target: NodeKey, label: number): void {
    const at = 3 * this.#edgeCount++;
    if (at === this.#edges.length) {
      const grown = new Int32Array(2 * at);
      grown.set(this.#edges);
      this.#edges = grown;
    }
    this.#edges[at] = from;
    this.#edges[at + 1] = this.#number(target);
    this.#edges[at + 2] = label;
  }

  /** The edges by one of their ends: 0, where they come from; 1, where they go to. */
  #index(end: 0 | 1): EdgeIndex {
    return new EdgeIndex(this.#edges, this.#edgeCount, this.keys.length, end);
  }
}

/** Content or a snapshot that nothing keeps. */
export interface Unmarked {
  key: NodeKey;
  /** Bytes, 0 where they are not known. */
  size: number;
  /** Of snapshots, as the id. */
  inodes: number;
  id: number;
}

/** A node of a chain. */
export interface ChainStep {
  key: NodeKey;
  /** By which the node before refers to it. */
  label: string | undefined;
}

interface Link {
  node: number;
  next?: Link;
  label?: number;
}

/** Edges sorted by the node at one end, by counting. */
class EdgeIndex {
  readonly #firsts: Int32Array;
  readonly #order: Int32Array;

  constructor(edges: Int32Array, edgeCount: number, nodeCount: number, end: 0 | 1) {
    const firsts = new Int32Array(nodeCount + 2);
    for (let edge = 0; edge < edgeCount; edge++) {
      firsts[(edges[3 * edge + end] as number) + 2]!++;
    }
    for (let node = 2; node < firsts.length; node++) {
      firsts[node]! += firsts[node - 1] as number;
    }
    this.#order = new Int32Array(edgeCount);
    for (let edge = 0; edge < edgeCount; edge++) {
      const node = edges[3 * edge + end] as number;
      this.#order[firsts[node + 1]!++] = 3 * edge;
    }
    this.#firsts = firsts;
  }

  /** Place of the first edge of a node; those up to the first of the next node are its own. */
  first(node: number): number {
    return this.#firsts[node] as number;
  }

  /** Where in the array of edges the edge at a place is. */
  edge(place: number): number {
    return this.#order[place] as number;
  }
}

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

export function isSnapshot(key: NodeKey): boolean {
  return key.startsWith(snapshotsPrefix);
}

/** The key of another snapshot of the same snapshotter. */
function siblingKey(key: NodeKey, name: string): NodeKey {
  return key.slice(0, key.indexOf('\t', snapshotsPrefix.length) + 1) + name;
}

/** What the keys of a lease's resources begin with. */
export function resourcesPrefix(lease: NodeKey): string {
  return `${buckets.leaseResources}${lease.slice(buckets.leases.length)}\t`;
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
