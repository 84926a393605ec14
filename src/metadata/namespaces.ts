// Namespaces: each has images, containers and leases of its own.

import { decodeLabels, encodeLabels } from './codec.js';
import { checkIdentifier, checkLabels } from './names.js';
import { buckets, type Labels, type Time } from './schema.js';
import type { Tree } from './tree.js';

export interface Namespace {
  name: string;
  labels: Labels;
  createdAt: Time;
}

/** The namespaces, in a transaction. One is made by the first write in it. */
export class NamespaceStore {
  readonly #tree: Tree;

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  list(): Namespace[] {
    return Array.from(this.#tree.range(`${buckets.namespaces}\t`), ([name, value]) => {
      const [labels, createdAt] = value as [unknown, number];
      return { name, labels: decodeLabels(labels), createdAt };
    });
  }

  /** Makes the namespace where there is none. */
  ensure(name: string, labels?: Labels): void {
    const key = `${buckets.namespaces}\t${checkIdentifier('namespace', name)}`;
    if (!this.#tree.has(key)) {
      this.#tree.put(key, [encodeLabels(checkLabels(labels)), Date.now()]);
    }
  }
}
