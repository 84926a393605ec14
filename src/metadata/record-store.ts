// What the stores of images, content, containers, leases and snapshots have in common: records of one range of keys,
// and typed errors for what is not there or is there already.

import { UnpackError } from '../errors.js';
import { compileFilters, type FieldOf } from './filters.js';
import type { Columns, Tree } from './tree.js';

/** What a store does with its records. */
export interface RecordKind<T> {
  /** For messages: `image`. */
  noun: string;
  decode(id: string, value: unknown): T;
  encode(record: T): unknown;
  fieldOf: FieldOf<T>;
}

export class RecordStore<T> {
  readonly #tree: Tree;
  readonly #prefix: string;
  readonly #kind: RecordKind<T>;
  readonly #check: (id: string) => void;

  /**
   * @param prefix of the keys, with the tab at its end
   * @param check throws for an id that cannot be
   */
  constructor(tree: Tree, prefix: string, kind: RecordKind<T>, check: (id: string) => void) {
    this.#tree = tree;
    this.#prefix = prefix;
    this.#kind = kind;
    this.#check = check;
  }

  find(id: string): T | undefined {
    this.#check(id);
    const value = this.#tree.get(this.#prefix + id);
    return value === undefined ? undefined : this.#kind.decode(id, value);
  }

  get(id: string): T {
    return this.find(id) ?? this.fail('ERR_STORE_NOT_FOUND', id, 'is not in the store');
  }

  has(id: string): boolean {
    this.#check(id);
    return this.#tree.has(this.#prefix + id);
  }

  list(filters?: readonly string[]): T[] {
    const fits = compileFilters(filters, this.#kind.fieldOf);
    const records: T[] = [];
    for (const [id, value] of this.#tree.range(this.#prefix)) {
      const record = this.#kind.decode(id, value);
      if (fits(record)) {
        records.push(record);
      }
    }
    return records;
  }

  ids(): string[] {
    return Array.from(this.#tree.keys(this.#prefix));
  }

  /** The ids, and of each record the stored elements at `fields`: see {@link Tree.columns}. */
  columns(fields: readonly number[]): Columns {
    return this.#tree.columns(this.#prefix, fields);
  }

  count(): number {
    return this.#tree.count(this.#prefix);
  }

  create(id: string, record: T): T {
    if (this.has(id)) {
      this.fail('ERR_STORE_EXISTS', id, 'is in the store already');
    }
    this.put(id, record);
    return record;
  }

  put(id: string, record: T): void {
    this.#tree.put(this.#prefix + id, this.#kind.encode(record));
  }

  remove(id: string): T {
    const record = this.get(id);
    this.#tree.remove(this.#prefix + id);
    return record;
  }

  fail(
    code: 'ERR_STORE_NOT_FOUND' | 'ERR_STORE_EXISTS' | 'ERR_STORE_IN_USE',
    id: string,
    problem: string,
  ): never {
    throw new UnpackError(code, `${this.#kind.noun} ${id}: ${problem}`);
  }
}
