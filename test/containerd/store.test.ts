// The store of a real containerd: what is read is what ctr says, of every image, blob, snapshot and container.

import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ContainerdStore } from '../../src/containerd/index.js';
import { digestOf } from '../../src/oci/index.js';
import { buildBolt } from '../support/bolt-builder.js';
import {
  layers,
  noContainerd,
  type TestContainerd,
  withContainerd,
} from '../support/containerd.js';
import {
  expectBlobs,
  expectImages,
  expectSnapshots,
  labelText,
} from '../support/containerd-agreement.js';
import { withScratch } from '../support/scratch.js';

const code = (wanted: string) => expect.objectContaining({ code: wanted });
const name = 'example.test/team/app:latest';
const namespaces = ['default', 'k8s.io'];

describe.skipIf(noContainerd)(`a real containerd ${noContainerd ?? ''}`, () => {
  let daemon: TestContainerd;
  let store: ContainerdStore;
  let finish: () => void = () => {};
  let ended: Promise<unknown> = Promise.resolve();

  beforeAll(async () => {
    await new Promise<void>((resolve, reject) => {
      ended = withContainerd(async (started) => {
        daemon = started;
        await fill(daemon);
        store = ContainerdStore.open(daemon.root);
        resolve();
        await new Promise<void>((end) => {
          finish = end;
        });
        store.close();
      });
      ended.catch(reject);
    });
  });

  afterAll(async () => {
    finish();
    await ended;
  });

  it('has the namespaces with their labels', async () => {
    const rows = await daemon.rows('default', 'namespaces', 'ls');
    const list = await store.namespaces();
    expect(list.map((one) => [one.name, ...labelText(one.labels)])).toEqual(
      rows.map(([first, ...labels]) => [first, ...labels]),
    );
    expect(list.map((one) => one.name)).toEqual(namespaces);
  });

  it('has the images', async () => {
    for (const namespace of namespaces) {
      const images = await expectImages(daemon, store, namespace);
      expect(images.length).toBeGreaterThan(namespace === 'default' ? 150 : 0);
      for (const image of images) {
        expect(await store.image(namespace, image.name)).toEqual(image);
        expect(Date.parse(image.createdAt)).toBeGreaterThan(Date.now() - 600_000);
        expect(Date.parse(image.updatedAt)).toBeLessThan(Date.now() + 1000);
      }
    }
    expect(await store.image('default', 'none')).toBeUndefined();
    expect(await store.images('none')).toEqual([]);
  });

  it('has the blobs', async () => {
    for (const namespace of namespaces) {
      const blobs = await expectBlobs(daemon, store, namespace);
      expect(blobs.length).toBe(layers.length + 2);
    }
  });

  it('has the snapshots, and their directories', async () => {
    for (const namespace of namespaces) {
      const snapshots = await expectSnapshots(daemon, store, namespace);
      expect(snapshots.length).toBe(layers.length + (namespace === 'default' ? 2 : 0));
      for (const { key, stored } of snapshots) {
        const mounts = await daemon
          .ctr(namespace, 'snapshots', 'mounts', '/mnt', key)
          .catch(() => '');
        if (stored?.kind === 'active') {
          expect(mounts).toContain(`upperdir=${stored.directory}`);
        }
      }
      const top = snapshots.find((one) => one.parent !== '' && one.stored?.kind === 'committed');
      const usage = await daemon.rows(namespace, 'snapshots', 'usage', '-b', top?.key ?? '');
      expect([top?.stored?.size, top?.stored?.inodes].map(String)).toEqual(usage[0]?.slice(1));
    }
  });

  it('has the containers', async () => {
    const [container] = await store.containers('default');
    const info = JSON.parse(await daemon.ctr('default', 'containers', 'info', 'box'));
    expect(container).toEqual({
      id: info.ID,
      image: info.Image,
      snapshotter: info.Snapshotter,
      snapshotKey: info.SnapshotKey,
      runtime: info.Runtime.Name,
      labels: info.Labels,
      createdAt: info.CreatedAt,
      updatedAt: info.UpdatedAt,
    });
    expect(await store.containers('k8s.io')).toEqual([]);
  });

  it('is read while it is written', async () => {
    const rounds = 8;
    let isWriting = true;
    const write = async () => {
      for (let i = 1; i <= rounds; i++) {
        const [key, image] = [`live-${i}`, `example.test/live:${i}`];
        const { key: parent = '' } = (await store.snapshots('default')).at(-1) ?? {};
        await daemon.ctr('default', 'images', 'label', name, `round=${i}`);
        await daemon.ctr('default', 'images', 'tag', name, image);
        await daemon.ctr('default', 'snapshots', 'prepare', key, '');
        await daemon.ctr('default', 'snapshots', 'commit', `${key}-done`, key);
        expect(parent).not.toBe('');
      }
      isWriting = false;
    };
    const writing = write();
    writing.catch(() => {
      isWriting = false;
    });
    const { length } = await store.images('default');
    let round = 0;
    let reads = 0;
    for (; isWriting; reads++) {
      const images = await store.images('default');
      const now = Number(images.find((one) => one.name === name)?.labels.round ?? 0);
      expect(now).toBeGreaterThanOrEqual(round);
      // A round's tag comes after its label: one state has both.
      const tags = images.length - length;
      expect([now, now - 1]).toContain(Math.max(tags, now - 1));
      round = now;
      const snapshots = await store.snapshots('default');
      expect(snapshots.filter(({ stored }) => stored === undefined)).toEqual([]);
      await new Promise(setImmediate);
    }
    await writing;
    expect(round).toBeGreaterThan(3);
    expect(reads).toBeGreaterThan(10);
    expect((await store.images('default')).length).toBe(length + rounds);
  });

  it('is left as it was', async () => {
    const file = store.root.metadata;
    const state = async () => [
      digestOf(await readFile(file)),
      (await stat(file)).mtimeMs,
      await readdir(daemon.root),
    ];
    // What was written before makes the daemon collect garbage, a little later.
    const quiet = async () => {
      const first = await state();
      await new Promise((resolve) => setTimeout(resolve, 700));
      expect(await state()).toEqual(first);
      return first;
    };
    const before = await vi.waitFor(quiet, { timeout: 30_000, interval: 100 });
    await store.images('default');
    await store.snapshots('default');
    expect(await state()).toEqual(before);
  });
});

describe('the schema', () => {
  const read = (tree: Parameters<typeof buildBolt>[0]) =>
    withScratch(async (root) => {
      const directory = path.join(root, 'io.containerd.metadata.v1.bolt');
      await mkdir(directory);
      await writeFile(path.join(directory, 'meta.db'), buildBolt(tree));
      const store = ContainerdStore.open(root);
      try {
        return await store.namespaces();
      } finally {
        store.close();
      }
    });

  it('may be older, or not written yet', async () => {
    expect(await read({})).toEqual([]);
    expect(await read({ v1: {} })).toEqual([]);
    expect(await read({ v1: { version: '\x06', a: { labels: { x: 'y' } }, b: {} } })).toEqual([
      { name: 'a', labels: { x: 'y' } },
      { name: 'b', labels: {} },
    ]);
  });

  it.each([
    ['of another name', { v2: {} }],
    ['newer', { v1: { version: '\x0a' } }],
    ['unreadable', { v1: { version: '' } }],
  ])('%s is refused', async (_, tree) => {
    await expect(read(tree)).rejects.toThrow(code('ERR_UNKNOWN_STORE_VERSION'));
    await expect(read(tree)).rejects.toThrow('up to version 4 is known');
  });
});

/** Two namespaces with the image; in one of them many more names, long labels, snapshots and a container. */
async function fill(daemon: TestContainerd): Promise<void> {
  for (const namespace of namespaces) {
    await daemon.importImage(namespace, 'example.test/team/app');
  }
  const ctr = (...args: string[]) => daemon.ctr('default', ...args);
  const tags = Array.from({ length: 150 }, (_, i) => `example.test/${'long-'.repeat(20)}name:${i}`);
  await ctr('images', 'tag', name, ...tags);
  const long = ['a', 'b', 'c'].map((key) => `${key}=${key.repeat(3000)}`);
  await ctr('images', 'label', name, 'example.test/plain=1', ...long);
  await ctr('namespaces', 'label', 'default', 'owner=team', 'z=1');
  const [first] = (await ctr('content', 'ls', '-q')).split('\n');
  await ctr('content', 'label', first ?? '', 'example.test/note=x');
  const [[top = ''] = []] = await daemon.rows('default', 'snapshots', 'ls');
  await ctr('snapshots', 'prepare', 'work', top);
  await ctr('snapshots', 'view', 'look', top);
  await ctr(
    'snapshots',
    'label',
    'work',
    'example.test/note=y',
    'containerd.io/snapshot/inherited=z',
  );
  await ctr('containers', 'create', '--label', 'a=b', name, 'box');
}
