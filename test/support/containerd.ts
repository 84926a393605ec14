// A real containerd with a root of its own, filled with small images: what src/containerd reads is compared with what
// `ctr` says.

import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { ContainerdDaemon } from '../../src/bench/peers/containerd-daemon.js';
import { runProcess, which } from '../../src/bench/process.js';
import { isRoot } from './ids.js';
import { withScratch } from './scratch.js';
import { dir, file, opaque, whiteout } from './tar-builder.js';
import { writeImage } from './write-image.js';

/** Why there is no containerd to test with; undefined where there is one. */
export const noContainerd: string | undefined = !isRoot
  ? 'only root can run containerd'
  : ['containerd', 'ctr'].find((name) => which(name) === undefined) === undefined
    ? undefined
    : 'containerd is not installed';

/** The layers of the image that {@link TestContainerd.importImage} imports. */
export const layers = [
  [dir('./'), dir('etc'), file('etc/old', 'old'), dir('lib'), file('lib/a', 'a')],
  [dir('./'), dir('etc'), whiteout('etc/old'), file('etc/new', 'new')],
  [dir('./'), dir('lib'), opaque('lib'), file('lib/b', 'b')],
];

/** A running containerd. */
export class TestContainerd {
  readonly root: string;
  readonly #home: string;
  readonly #daemon: ContainerdDaemon;

  constructor(home: string, daemon: ContainerdDaemon) {
    this.#home = home;
    this.root = path.join(home, 'root');
    this.#daemon = daemon;
  }

  /** What `ctr` prints for a command in a namespace. */
  async ctr(namespace: string, ...args: string[]): Promise<string> {
    const global = ['--address', this.#daemon.socket, '--namespace', namespace];
    return (await runProcess('ctr', [...global, ...args])).stdout;
  }

  /** The rows of a table that `ctr` prints, without the heads. */
  async rows(namespace: string, ...args: string[]): Promise<string[][]> {
    const lines = (await this.ctr(namespace, ...args)).trimEnd().split('\n').slice(1);
    return lines.map((line) => line.trim().split(/\s+/));
  }

  /** How ctr reaches it, for a script. */
  get command(): string {
    return `ctr --address ${this.#daemon.socket}`;
  }

  /** Runs `work` while the daemon stands still: its garbage collector writes when it likes, some time after a change. */
  async whileStopped<T>(work: () => Promise<T>): Promise<T> {
    const { pid } = this.#daemon;
    if (pid === undefined) {
      throw new Error('the daemon has no process');
    }
    process.kill(pid, 'SIGSTOP');
    try {
      return await work();
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  }

  /** Imports {@link layers}, unpacked, as `NAME:latest`; the layout that it came from. */
  async importImage(namespace: string, name: string): Promise<string> {
    const layout = path.join(this.#home, `layout-${namespace}`);
    await writeImage(layout, layers, ['gzip', 'none']);
    await this.importLayout(namespace, name, layout);
    return layout;
  }

  /** Imports a layout's image, unpacked unless `options` say otherwise, as `NAME:TAG`. */
  async importLayout(
    namespace: string,
    name: string,
    layout: string,
    ...options: string[]
  ): Promise<void> {
    const archive = path.join(this.#home, 'import.tar');
    await runProcess('tar', ['-C', layout, '-cf', archive, '.']);
    await this.ctr(namespace, 'images', 'import', ...options, '--base-name', name, archive);
    await rm(archive);
  }
}

/** Runs `work` with a containerd; of a `wrapper`: in a namespace. `scratch`: where its files are. */
export async function withContainerd<T>(
  work: (daemon: TestContainerd) => Promise<T>,
  wrapper: readonly string[] = [],
  scratch?: string,
): Promise<T> {
  return withScratch(async (home) => {
    await mkdir(path.join(home, 'state'), { recursive: true });
    const daemon = await ContainerdDaemon.start(path.join(home, 'root'), home, { wrapper });
    try {
      return await work(new TestContainerd(home, daemon));
    } finally {
      await daemon.stop();
    }
  }, scratch);
}
