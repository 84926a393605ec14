// containerd, the blobs in its content store already, so that only the unpack into the overlayfs snapshotter is timed:
// `ctr snapshots unpack`, layer after layer; and `ctr images pull` of what is there, whose transfer service unpacks
// several layers at once. Each run has a fresh daemon and a fresh copy of the prepared root.

import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { removeTree } from '../../native/index.js';
import { chainID } from '../../oci/index.js';
import type { Absence, Contender, Place, View } from '../contender.js';
import { rootApart, viewDirectory, viewOverlay } from '../layered-view.js';
import { type PlainLayout, writePlainLayout } from '../layout.js';
import { runProcess, versionOf, which } from '../process.js';
import { ContainerdDaemon, parallelOption } from './containerd-daemon.js';
import { type LoopbackRegistry, serveLayout } from './registry.js';

const contentDirectory = 'io.containerd.content.v1.content';
const snapshotter = ['snapshots', '--snapshotter', 'overlayfs'];
/** As many as layers are fetched at once by default. */
const parallelUnpacks = 4;
/** How often a view is made again. */
const mostTries = 5;

/** One after the other, as by default. */
export function containerdContender(): Contender {
  return new Containerd();
}

/** Several layers at once. */
export function parallelContainerdContender(): Contender {
  return new ParallelContainerd();
}

class Containerd implements Contender {
  id = 'containerd';
  title = 'containerd';
  readonly kind = 'peer';
  readonly digests = true;
  readonly lacks: string[] = [];
  version?: string;
  protected layout: PlainLayout = { directory: '', manifestDigest: '' };
  protected readonly unpacks: number | undefined = undefined;
  #daemon: ContainerdDaemon | undefined;

  async absence({ signal }: Place): Promise<Absence | undefined> {
    const version = await versionOf('containerd', signal);
    if (version === undefined || which('ctr') === undefined) {
      const reason = 'containerd is not installed';
      return { status: 'missing', reason, install: 'apt-get install containerd' };
    }
    const helper = ['igzip', 'unpigz'].find((name) => which(name) !== undefined);
    this.version = `${version}, ${helper ?? 'no igzip or unpigz'} on PATH`;
    return process.geteuid?.() === 0
      ? undefined
      : { status: 'unsuitable', reason: 'it needs root' };
  }

  async prepare({ image, home, signal }: Place): Promise<void> {
    this.layout = await writePlainLayout(image, path.join(home, 'layout'));
    const daemon = await this.#start(preparedRoot(home), home, signal);
    try {
      await this.fill(daemon, signal);
    } finally {
      await this.#stop();
    }
  }

  /** Gets the blobs into the content store, without unpacking. */
  protected async fill(daemon: ContainerdDaemon, signal: AbortSignal | undefined): Promise<void> {
    const script = `set -o pipefail; tar -chf - -C "$1" . | ${daemon.client} images import --no-unpack -`;
    const args = ['-c', script, 'bench', this.layout.directory];
    await runProcess('bash', args, { cwd: daemon.home, signal });
    await removeTree(this.layout.directory);
  }

  async begin({ home, signal }: Place, destination: string): Promise<void> {
    await copyRoot(preparedRoot(home), destination, signal);
    const daemon = await this.#start(destination, home, signal);
    await daemon.resetPeak();
  }

  async unpack({ signal }: Place) {
    const daemon = this.#running();
    const before = await daemon.usage();
    const client = await daemon.ctr(this.command(), { signal });
    const after = await daemon.usage();
    return {
      usage: {
        user: after.user - before.user + (client.usage?.user ?? 0),
        system: after.system - before.system + (client.usage?.system ?? 0),
        maxRss: Math.max(after.maxRss, client.usage?.maxRss ?? 0),
      },
    };
  }

  protected command(): string[] {
    return [...snapshotter, 'unpack', this.layout.manifestDigest];
  }

  async view({ image, signal }: Place, destination: string, xattrs: string[]): Promise<View> {
    const key = 'bench-view';
    const top = chainID(image.layers.map(({ diffID }) => diffID));
    const stdout = await this.#viewMounts(key, top, signal);
    const lowers = /lowerdir=([^,\n]+)/.exec(stdout)?.[1]?.split(':');
    if (lowers !== undefined) {
      return rootApart(await viewOverlay(lowers, `${destination}.mount`, xattrs, signal));
    }
    // A single layer is a bind mount: `mount -t bind SOURCE /mnt -o ...`.
    const source = /^mount -t bind (.+) \/mnt -o /m.exec(stdout)?.[1];
    if (source === undefined) {
      throw new Error(`ctr snapshots mounts: cannot read ${stdout.trim()}`);
    }
    return rootApart(await viewDirectory(source, xattrs, signal));
  }

  /** ctr's view has no lease: where containerd's garbage collection takes it at once, it is made again. */
  async #viewMounts(key: string, top: string, signal: AbortSignal | undefined): Promise<string> {
    const daemon = this.#running();
    for (let tries = 1; ; tries++) {
      await daemon.ctr([...snapshotter, 'view', key, top], { signal });
      try {
        const { stdout } = await daemon.ctr([...snapshotter, 'mounts', '/mnt', key], { signal });
        return stdout;
      } catch (error) {
        if (tries === mostTries || !String(error).includes('does not exist')) {
          throw error;
        }
      }
    }
  }

  async end(): Promise<void> {
    await this.#stop();
  }

  async #start(
    root: string,
    home: string,
    signal: AbortSignal | undefined,
  ): Promise<ContainerdDaemon> {
    this.#daemon = await ContainerdDaemon.start(root, home, { unpacks: this.unpacks, signal });
    return this.#daemon;
  }

  async #stop(): Promise<void> {
    await this.#daemon?.stop();
    this.#daemon = undefined;
  }

  #running(): ContainerdDaemon {
    if (this.#daemon === undefined) {
      throw new Error('containerd is not running');
    }
    return this.#daemon;
  }
}

class ParallelContainerd extends Containerd {
  override id = 'containerd-parallel';
  override title = 'containerd, parallel';
  protected override readonly unpacks = parallelUnpacks;
  #registry: LoopbackRegistry | undefined;

  override async absence(place: Place): Promise<Absence | undefined> {
    const absence = await super.absence(place);
    if (absence !== undefined) {
      return absence;
    }
    const { signal } = place;
    const { stdout } = await runProcess('containerd', ['config', 'default'], { signal });
    return stdout.includes(parallelOption)
      ? undefined
      : {
          status: 'missing',
          reason: `this containerd has no ${parallelOption}`,
          install: 'a newer containerd (2.2 or later)',
        };
  }

  protected override async fill(
    daemon: ContainerdDaemon,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    this.#registry = await serveLayout(this.layout);
    const { reference } = this.#registry;
    await daemon.ctr(['content', 'fetch', '--plain-http', reference], { signal });
  }

  /** Only the manifest is asked for again: the blobs are there. */
  protected override command(): string[] {
    return ['images', 'pull', '--plain-http', this.#registry?.reference ?? ''];
  }

  /** The last thing: nobody asks the registry any more. */
  async close(): Promise<void> {
    await this.#registry?.close();
  }
}

function preparedRoot(home: string): string {
  return path.join(home, 'prepared');
}

/** Blobs as hard links; databases, which are written in place, as copies. */
async function copyRoot(from: string, to: string, signal: AbortSignal | undefined): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) {
    if (name === contentDirectory) {
      await runProcess('cp', ['-al', path.join(from, name), path.join(to, name)], { signal });
    } else {
      await cp(path.join(from, name), path.join(to, name), { recursive: true });
    }
  }
  await rm(path.join(to, contentDirectory, 'ingest'), { recursive: true, force: true });
}
