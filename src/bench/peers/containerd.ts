// containerd through `ctr snapshots unpack`: the blobs are in its content store already, so only the unpack into the
// overlayfs snapshotter is timed. Each run has a fresh daemon and a fresh copy of the prepared root.

import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { removeTree } from '../../native/index.js';
import { chainID } from '../../oci/index.js';
import type { Contender, Place } from '../contender.js';
import { rootApart, viewDirectory, viewOverlay } from '../layered-view.js';
import { writePlainLayout } from '../layout.js';
import { runProcess, versionOf, which } from '../process.js';
import { ContainerdDaemon } from './containerd-daemon.js';

const contentDirectory = 'io.containerd.content.v1.content';
const snapshotter = ['snapshots', '--snapshotter', 'overlayfs'];

export function containerdContender(): Contender {
  let daemon: ContainerdDaemon | undefined;
  let manifestDigest = '';
  const running = (): ContainerdDaemon => {
    if (daemon === undefined) {
      throw new Error('containerd is not running');
    }
    return daemon;
  };
  const stop = async (): Promise<void> => {
    await daemon?.stop();
    daemon = undefined;
  };
  const contender: Contender = {
    id: 'containerd',
    title: 'containerd',
    kind: 'peer',
    digests: true,
    lacks: [],
    async absence() {
      const version = await versionOf('containerd');
      if (version === undefined || which('ctr') === undefined) {
        const reason = 'containerd is not installed';
        return { status: 'missing', reason, install: 'apt-get install containerd' };
      }
      const helper = ['igzip', 'unpigz'].find((name) => which(name) !== undefined);
      contender.version = `${version}, ${helper ?? 'no igzip or unpigz'} on PATH`;
      return process.geteuid?.() === 0
        ? undefined
        : { status: 'unsuitable', reason: 'it needs root' };
    },
    async prepare({ image, home, signal }) {
      const layout = await writePlainLayout(image, path.join(home, 'layout'));
      manifestDigest = layout.manifestDigest;
      daemon = await ContainerdDaemon.start(preparedRoot(home), home);
      try {
        const ctr = `ctr --address "$2" --namespace bench images import --no-unpack -`;
        const script = `set -o pipefail; tar -chf - -C "$1" . | ${ctr}`;
        await runProcess('bash', ['-c', script, 'bench', layout.directory, running().socket], {
          signal,
        });
      } finally {
        await stop();
      }
      await removeTree(layout.directory);
    },
    async begin({ home }, destination) {
      await copyRoot(preparedRoot(home), destination);
      daemon = await ContainerdDaemon.start(destination, home);
      await daemon.resetPeak();
    },
    async unpack({ signal }: Place) {
      const before = await running().usage();
      const args = [...snapshotter, 'unpack', manifestDigest];
      const client = await running().ctr(args, { signal });
      const after = await running().usage();
      return {
        usage: {
          user: after.user - before.user + (client.usage?.user ?? 0),
          system: after.system - before.system + (client.usage?.system ?? 0),
          maxRss: Math.max(after.maxRss, client.usage?.maxRss ?? 0),
        },
      };
    },
    async view({ image, signal }, destination, xattrs) {
      const key = 'bench-view';
      const top = chainID(image.layers.map(({ diffID }) => diffID));
      await running().ctr([...snapshotter, 'view', key, top]);
      const { stdout } = await running().ctr([...snapshotter, 'mounts', '/mnt', key]);
      const lowers = /lowerdir=([^,\s]+)/.exec(stdout)?.[1]?.split(':');
      if (lowers !== undefined) {
        return rootApart(await viewOverlay(lowers, `${destination}.mount`, xattrs, signal));
      }
      // A single layer is a bind mount: `mount -t bind SOURCE /mnt -o ...`.
      const source = /^mount -t bind (\S+) /m.exec(stdout)?.[1];
      if (source === undefined) {
        throw new Error(`ctr snapshots mounts: cannot read ${stdout.trim()}`);
      }
      return rootApart(await viewDirectory(source, xattrs, signal));
    },
    async end() {
      await stop();
    },
  };
  return contender;
}

function preparedRoot(home: string): string {
  return path.join(home, 'prepared');
}

/** Blobs as hard links; databases, which are written in place, as copies. */
async function copyRoot(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) {
    if (name === contentDirectory) {
      await runProcess('cp', ['-al', path.join(from, name), path.join(to, name)]);
    } else {
      await cp(path.join(from, name), path.join(to, name), { recursive: true });
    }
  }
  await rm(path.join(to, contentDirectory, 'ingest'), { recursive: true, force: true });
}
