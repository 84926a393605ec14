// The tree around a destination that no layer may touch. What a hostile layer can aim at: files, directories, links and a
// fifo, beside and above the destination, named relatively and absolutely.

import { execFileSync } from 'node:child_process';
import { chmod, link, lstat, mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { compareTrees, type Tree } from './tree.js';
import { dumpTree } from './tree-dump.js';

export class Canary {
  /** Absolute path of the tree. */
  readonly root: string;
  /** An empty directory in it, three levels down, to unpack into. */
  readonly destination: string;
  #before: Tree = new Map();

  private constructor(root: string) {
    this.root = root;
    this.destination = path.join(root, 'x', 'y', 'image');
  }

  static async create(root: string): Promise<Canary> {
    const canary = new Canary(root);
    await mkdir(canary.destination, { recursive: true });
    for (const directory of ['', 'x', 'x/y']) {
      const at = path.join(root, directory);
      await writeFile(path.join(at, 'secret'), `secret of ${directory}`, { mode: 0o600 });
      await mkdir(path.join(at, 'victim'), { mode: 0o750 });
      await writeFile(path.join(at, 'victim', 'file'), 'untouched', { mode: 0o640 });
      await link(path.join(at, 'victim', 'file'), path.join(at, 'victim', 'linked'));
      await symlink('victim/file', path.join(at, 'to-file'));
      execFileSync('mkfifo', [path.join(at, 'pipe')]);
    }
    await chmod(canary.destination, 0o700);
    await canary.#makeUnread();
    canary.#before = await canary.#dump();
    await canary.#makeUnread();
    return canary;
  }

  /** Path of `name` in the root of the tree, absolute. */
  at(name: string): string {
    return path.join(this.root, name);
  }

  /** What changed outside of the destination; nothing when all is as it was. */
  async differences(): Promise<string[]> {
    const read: string[] = [];
    for (const file of this.#files()) {
      const { atimeMs } = await lstat(file).catch(() => ({ atimeMs: 0 }));
      if (atimeMs !== 0) {
        read.push(`${file}: was read`);
      }
    }
    const after = await this.#dump();
    const differences = compareTrees(this.#before, after, {
      ignorePath: (name) => this.#inside(name),
    });
    for (const [name, entry] of this.#before) {
      if (!this.#inside(name) && entry.type !== 'directory') {
        const links = after.get(name)?.links;
        if (links !== entry.links) {
          differences.push(`${name}: has ${links} links, had ${entry.links}`);
        }
      }
    }
    return [...read, ...differences];
  }

  #dump(): Promise<Tree> {
    return dumpTree(this.root);
  }

  // An access time before the modification time is one that relatime renews at the next read.
  async #makeUnread(): Promise<void> {
    for (const file of this.#files()) {
      await utimes(file, 0, 1_000_000_000);
    }
  }

  #files(): string[] {
    return ['', 'x', 'x/y'].flatMap((directory) =>
      ['secret', 'victim/file'].map((name) => path.join(this.root, directory, name)),
    );
  }

  #inside(name: string): boolean {
    return name === 'x/y/image' || name.startsWith('x/y/image/');
  }
}
