// Directories of layers, one on top of the other, as overlayfs would show them: for layers of which nothing else is
// known. Read by name; nothing is kept but their marks.

import { lstatSync, readdirSync, type Stats } from 'node:fs';

/** A layer's directory and its marks. */
export interface MarkedDirectory {
  directory: string;
  /** Paths of directories that hide what lies below. */
  opaque: ReadonlySet<string>;
  whiteouts: ReadonlySet<string>;
}

/** What lies at a path in one layer. */
type Kind = 'directory' | 'other' | 'whiteout';

export class DirectoryStack {
  readonly #layers: readonly MarkedDirectory[];

  /** @param layers bottom first */
  constructor(layers: readonly MarkedDirectory[]) {
    this.#layers = layers;
  }

  /** Numbers of the layers below number `below` whose directory `path` shows, topmost first. */
  directories(path: string, below: number): number[] {
    const found: number[] = [];
    for (let layer = below - 1; layer >= 0; layer--) {
      const { kind, isLast } = this.#walk(path, layer);
      if (kind === 'directory') {
        found.push(layer);
      }
      if (isLast) {
        break;
      }
    }
    return found;
  }

  /** Whether the layers below number `below` show anything at `path`. */
  shows(path: string, below: number): boolean {
    for (let layer = below - 1; layer >= 0; layer--) {
      const { kind, isLast } = this.#walk(path, layer);
      if (kind !== undefined) {
        return kind !== 'whiteout';
      }
      if (isLast) {
        return false;
      }
    }
    return false;
  }

  /** Every path that the layers below number `below` show under the directory `path`, sorted, at most `most`. */
  list(path: string, below: number, most: number): string[] {
    const paths: string[] = [];
    const visit = (at: string, layers: readonly number[]) => {
      const names = new Map<string, number[]>();
      const done = new Set<string>();
      for (const layer of layers) {
        for (const { name, kind } of this.#children(at, layer)) {
          if (done.has(name)) {
            continue;
          }
          const child = join(at, name);
          if (kind === 'directory') {
            names.set(name, [...(names.get(name) ?? []), layer]);
          } else if (!names.has(name) && kind === 'other') {
            names.set(name, []);
          }
          if (kind !== 'directory' || this.#layers[layer]?.opaque.has(child)) {
            done.add(name);
          }
        }
      }
      for (const [name, own] of [...names].sort(([a], [b]) => (a < b ? -1 : 1))) {
        if (paths.length >= most) {
          return;
        }
        paths.push(join(at, name));
        visit(join(at, name), own);
      }
    };
    visit(path, this.directories(path, below));
    return paths;
  }

  /** What one layer has at a path, and whether nothing further down can show there. */
  #walk(path: string, layer: number): { kind: Kind | undefined; isLast: boolean } {
    const parts = path === '' ? [] : path.split('/');
    let isLast = false;
    for (let length = 1; length <= parts.length; length++) {
      const at = parts.slice(0, length).join('/');
      const kind = this.#kind(at, layer);
      if (kind === undefined) {
        return { kind, isLast };
      }
      isLast ||= kind !== 'directory' || this.#layers[layer]?.opaque.has(at) === true;
      if (length === parts.length) {
        return { kind, isLast };
      }
      if (kind !== 'directory') {
        return { kind: 'whiteout', isLast: true };
      }
    }
    return { kind: 'directory', isLast };
  }

  #kind(path: string, layer: number): Kind | undefined {
    const one = this.#layers[layer];
    if (one === undefined || one.whiteouts.has(path)) {
      return one && 'whiteout';
    }
    let stats: Stats | undefined;
    try {
      stats = lstatSync(`${one.directory}/${path}`, { throwIfNoEntry: false });
    } catch {
      return undefined; // Something on the way is no directory.
    }
    return stats && (stats.isDirectory() ? 'directory' : 'other');
  }

  #children(path: string, layer: number): { name: string; kind: Kind }[] {
    const one = this.#layers[layer];
    if (one === undefined) {
      return [];
    }
    try {
      return readdirSync(`${one.directory}/${path}`, { withFileTypes: true }).map((entry) => ({
        name: entry.name,
        kind: one.whiteouts.has(join(path, entry.name))
          ? 'whiteout'
          : entry.isDirectory()
            ? 'directory'
            : 'other',
      }));
    } catch {
      return []; // Gone meanwhile.
    }
  }
}

function join(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}
