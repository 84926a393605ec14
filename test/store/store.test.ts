// The store: importing, unpacking, sharing, cancelling, collecting garbage, losing power.

import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SnapshotInfo, SnapshotterKind, StoreOptions } from '../../src/index.js';
import { Store } from '../../src/index.js';
import { Database } from '../../src/metadata/index.js';
import { chainIDs } from '../../src/oci/index.js';
import { openSnapshotter } from '../../src/snapshots/index.js';
import { withScratch } from '../support/scratch.js';
import { withStore } from '../support/store.js';
import { dir, file, type TarItem, whiteout } from '../support/tar-builder.js';
import { withTmpfs } from '../support/tmpfs.js';
import { writeImage } from '../support/write-image.js';

const isRoot = process.geteuid?.() === 0;

const layers: readonly (readonly TarItem[])[] = [
  [dir('etc'), file('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n'), file('old', 'old')],
  [file('etc/new', 'new'), whiteout('old')],
  [file('top', 'x'.repeat(100_000))],
];

async function snapshotsOf(store: Store): Promise<SnapshotInfo[]> {
  const all: SnapshotInfo[] = [];
  await store.snapshots.walk((info) => {
    all.push(info);
  });
  return all;
}

/** What is left in the directories of a store where nothing shall be. */
async function leftovers(root: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of ['staging', 'locks', 'ingest', 'bundles', 'snapshots', 'blobs/sha256']) {
    for (const entry of await readdir(path.join(root, name)).catch(() => [])) {
      // The staging area of the store that is open holds its lock.
      const inner = name === 'staging' ? await readdir(path.join(root, name, entry)) : [entry];
      found.push(...inner.filter((file) => file !== 'lock').map((file) => `${name}/${file}`));
    }
  }
  return found;
}

describe.skipIf(!isRoot)('import', () => {
  for (const kind of ['overlayfs', 'native', 'aufs'] as const satisfies SnapshotterKind[]) {
    it(`makes an image, blobs and one snapshot per layer, kind ${kind}`, async () => {
      await withStore(
        async (store, scratch) => {
          const reference = await writeImage(path.join(scratch, 'layout'), layers);
          const report = await store.import(reference, { name: 'test:1' });
          expect(report.layers.map(({ status }) => status)).toEqual(Array(3).fill('unpacked'));
          expect(report.blobs).toMatchObject({ written: 5, present: 0 });
          expect(store.images.list().map(({ name }) => name)).toEqual(['test:1']);
          expect(store.images.names()).toEqual(['test:1']);
          const diffIDs = report.layers.map(({ diffID }) => diffID);
          expect(report.layers.map(({ chainID }) => chainID)).toEqual(chainIDs(diffIDs));

          const manifest = await store.content.info(report.manifestDigest);
          expect(manifest.labels).toMatchObject({
            'containerd.io/gc.ref.content.config': report.configDigest,
            'containerd.io/gc.ref.content.l.0': report.layers[0]?.digest,
            'containerd.io/gc.ref.content.l.2': report.layers[2]?.digest,
          });
          const config = await store.content.info(report.configDigest);
          expect(config.labels).toEqual({
            [`containerd.io/gc.ref.snapshot.${kind}`]: report.snapshot,
          });
          for (const [index, layer] of report.layers.entries()) {
            const blob = await store.content.info(layer.digest);
            expect(blob.labels).toMatchObject({ 'containerd.io/uncompressed': layer.diffID });
            const snapshot = await store.snapshots.stat(layer.chainID);
            expect(snapshot).toMatchObject({
              kind: 'committed',
              parent: report.layers[index - 1]?.chainID,
              labels: { 'containerd.io/snapshot.ref': layer.chainID },
            });
          }
          const top = report.layers[2]?.directory ?? '';
          expect((await readdir(top)).sort()).toEqual(kind === 'native' ? ['etc', 'top'] : ['top']);
          if (kind === 'native') {
            expect((await readdir(path.join(top, 'etc'))).sort()).toEqual(['new', 'passwd']);
          }
          expect(store.leases.list()).toEqual([]);
          expect((await store.gc()).snapshots).toEqual([]);
        },
        { kind },
      );
    });
  }

  it('does not make again what is there, by any name, after a restart too', async () => {
    await withStore(async (store, scratch) => {
      const one = await writeImage(path.join(scratch, 'one'), layers);
      const two = await writeImage(path.join(scratch, 'two'), [
        ...layers.slice(0, 2),
        [file('other', 'other')],
      ]);
      await store.import(one);
      await store.close();
      const again = await Store.open(store.root);
      try {
        const report = await again.import(two);
        expect(report.layers.map(({ status }) => status)).toEqual([
          'present',
          'present',
          'unpacked',
        ]);
        expect(report.name).toBe('two:latest');
        expect((await again.import(one)).layers.every(({ status }) => status === 'present')).toBe(
          true,
        );
        expect(await snapshotsOf(again)).toHaveLength(4);
      } finally {
        await again.close();
      }
    });
  });

  it('shares one unpack between calls that run at once', async () => {
    await withStore(async (store, scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const other = await Store.open(store.root);
      const reports = await Promise.all(
        [store, other, store, other].map((one) => one.import(reference)),
      );
      await other.close();
      for (const index of layers.keys()) {
        const unpacked = reports.filter(({ layers: own }) => own[index]?.status === 'unpacked');
        expect(unpacked).toHaveLength(1);
      }
      expect(await snapshotsOf(store)).toHaveLength(3);
      expect((await store.gc()).content).toEqual([]);
    });
  });

  it('keeps the layers below one that fails, and goes on from there', async () => {
    await withStore(async (store, scratch) => {
      const layout = path.join(scratch, 'layout');
      const reference = await writeImage(layout, layers, ['none']);
      const { manifests } = JSON.parse(await readFile(path.join(layout, 'index.json'), 'utf8'));
      const blob = (digest: string) => path.join(layout, 'blobs', digest.replace(':', '/'));
      const manifest = JSON.parse(await readFile(blob(manifests[0].digest), 'utf8'));
      const top = blob(manifest.layers[2].digest);
      const whole = await readFile(top);
      const broken = Buffer.from(whole);
      broken[600] = 1;
      await writeFile(top, broken);
      await expect(store.import(reference)).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' });
      expect(store.images.list()).toEqual([]);
      expect(store.leases.list()).toEqual([]);
      await writeFile(top, whole);
      const report = await store.import(reference);
      expect(report.layers.at(-1)?.status).toBe('unpacked');
      expect(await snapshotsOf(store)).toHaveLength(3);
      expect(await store.gc()).toMatchObject({ content: [], snapshots: [] });
    });
  });

  it('leaves nothing to collect when it is cancelled, whenever that is', async () => {
    await withStore(async (store, scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      for (let delay = 0; delay < 40; delay += 4) {
        const controller = new AbortController();
        const timer = setTimeout(() => controller.abort(), delay);
        const done = await store.import(reference, { signal: controller.signal }).then(
          () => true,
          (error) => {
            expect(error).toMatchObject({ code: 'ERR_ABORTED' });
            return false;
          },
        );
        clearTimeout(timer);
        if (done) {
          store.images.remove('layout:latest');
          await store.gc();
        }
        const dry = await store.gc({ dryRun: true });
        expect(dry).toMatchObject({ content: [], snapshots: [], leases: [] });
        expect(await leftovers(store.root)).toEqual([]);
      }
    });
  });

  it('imports without unpacking, and unpacks later', async () => {
    await withStore(async (store, scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const imported = await store.import(reference, { unpack: false });
      expect(imported.layers).toEqual([]);
      expect((await store.images.inspect('layout')).unpacked).toBe(false);
      const report = await store.unpack('layout');
      expect(report.layers.map(({ status }) => status)).toEqual(Array(3).fill('unpacked'));
      expect((await store.images.inspect('layout')).unpacked).toBe(true);
      expect(await store.gc()).toMatchObject({ content: [], snapshots: [] });
    });
  });

  it('frees everything when the last name is gone', async () => {
    await withStore(async (store, scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const report = await store.import(reference);
      store.images.tag('layout', 'second');
      store.images.remove('layout');
      expect((await store.gc()).content).toEqual([]);
      expect(store.why(report.snapshot)[0]?.map(({ type }) => type)).toEqual([
        'images',
        'content',
        'content',
        'snapshots/overlayfs',
      ]);
      store.images.remove('second');
      const dry = await store.gc({ dryRun: true });
      expect(dry.snapshots).toHaveLength(3);
      const collected = await store.gc();
      expect(collected).toMatchObject({ content: dry.content, snapshots: dry.snapshots });
      expect(await leftovers(store.root)).toEqual([]);
      expect(() => store.why(report.snapshot)).toThrow(/neither/);
    });
  });

  it('frees what a stopped writer has begun', async () => {
    await withStore(async (store) => {
      const writer = await store.content.writer('begun');
      await writer.write(Buffer.from('half'));
      expect((await store.gc()).orphans.ingests).toBe(0);
      await writer.close();
      expect((await store.gc()).orphans.ingests).toBe(1);
      expect(await leftovers(store.root)).toEqual([]);
    });
  });

  it('reads blobs of another store without copying them', async () => {
    await withScratch(async (scratch) => {
      const layout = path.join(scratch, 'layout');
      const reference = await writeImage(layout, layers);
      const store = await Store.open(path.join(scratch, 'store'), { sources: [layout] });
      try {
        const report = await store.import(reference);
        expect(report.blobs.written).toBe(0);
        expect(report.layers).toHaveLength(3);
        expect(await readdir(path.join(store.root, 'blobs/sha256')).catch(() => [])).toEqual([]);
      } finally {
        await store.close();
      }
    });
  });
});

describe.skipIf(!isRoot)('durability', () => {
  it('is the same by whatever mount a tmpfs is seen', async () => {
    await withTmpfs('size=64m', async (disk) => {
      const [root, other] = ['store', 'other'].map((name) => path.join(disk, name)) as [
        string,
        string,
      ];
      await Promise.all([root, other].map((directory) => mkdir(directory)));
      const options = { durability: 'none' } as const;
      const store = await Store.open(root, options);
      await store.import(await writeImage(path.join(disk, 'layout'), layers), { name: 'a' });
      await store.close();
      execFileSync('mount', ['--bind', root, other]);
      try {
        const again = await Store.open(other, options);
        const found = await snapshotsOf(again);
        await again.close();
        expect(found.map(({ durability }) => durability)).toEqual(Array(3).fill('unsynced'));
      } finally {
        execFileSync('umount', [other]);
      }
    });
  });

  it('does not make anew what is lost to one process and mounted by another', async () => {
    await withScratch(async (scratch) => {
      const root = path.join(scratch, 'store');
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const target = path.join(scratch, 'target');
      await mkdir(target);
      const store = await Store.open(root, { durability: 'none' });
      await store.import(reference, { name: 'a' });
      await store.containers.create('a', { id: 'c' });
      await store.containers.mount('c', target);
      const before = await readdir(target);
      const database = Database.open(root);
      const mounted = openSnapshotter({ root, database, bootID: () => 'of another mount' });
      try {
        const [lowest] = (await store.images.inspect('a')).layers;
        const name = lowest?.chainID ?? '';
        expect((await mounted.stat(name)).durability).toBe('lost');
        await expect(mounted.adopt(name, undefined, await mounted.stage())).rejects.toMatchObject({
          code: 'ERR_SNAPSHOT_MOUNTED',
        });
        expect(await readdir(target)).toEqual(before);
      } finally {
        await mounted.close();
        await database.close();
        await store.containers.remove('c');
        await store.close();
      }
    });
  });

  it('waits where told to', async () => {
    await withStore(
      async (store, scratch) => {
        await store.import(await writeImage(path.join(scratch, 'layout'), layers));
        const all = await snapshotsOf(store);
        expect(all.map(({ durability }) => durability)).toEqual(Array(3).fill('durable'));
      },
      { durability: 'wait' },
    );
  });

  it('is reached in the background before the store is closed', async () => {
    await withStore(async (store, scratch) => {
      await store.import(await writeImage(path.join(scratch, 'layout'), layers));
      await store.close();
      const again = await Store.open(store.root, { readOnly: true });
      const all = await snapshotsOf(again);
      await again.close();
      expect(all.map(({ durability }) => durability)).toEqual(Array(3).fill('durable'));
    });
  });

  it('is none where told so; in another boot the layers are made again, below what is on top', async () => {
    await withStore(
      async (store, scratch) => {
        const reference = await writeImage(path.join(scratch, 'layout'), layers);
        const report = await store.import(reference);
        const container = await store.containers.create('layout', { id: 'web' });
        await store.close();
        pretendReboot(store.root);
        const again = await Store.open(store.root, { durability: 'wait' });
        try {
          const before = await snapshotsOf(again);
          const committed = before.filter(({ kind }) => kind === 'committed');
          expect(committed.map(({ durability }) => durability)).toEqual(Array(3).fill('lost'));
          await expect(again.snapshots.mounts(container.snapshotKey)).rejects.toMatchObject({
            code: 'ERR_SNAPSHOT_LOST',
          });
          // Half of a file had come to the disk.
          await writeFile(path.join(report.layers[2]?.directory ?? '', 'top'), 'half');
          const mounts = await again.containers.mounts('web');
          expect(mounts).toHaveLength(1);
          const { directory } = await again.snapshots.stat(report.snapshot);
          expect((await stat(path.join(directory, 'fs/top'))).size).toBe(100_000);
          const after = await snapshotsOf(again);
          expect(after.filter(({ durability }) => durability === 'durable')).toHaveLength(3);
          expect(await again.gc()).toMatchObject({ content: [], snapshots: [] });
        } finally {
          await again.close();
        }
      },
      { durability: 'none' },
    );
  });
});

/** Makes every unsynced snapshot one of another boot. */
function pretendReboot(root: string): void {
  const database = Database.open(root);
  database.update((tx) => {
    const { tree } = tx;
    for (const [rest, value] of Array.from(tree.range('s\t'))) {
      const fields = [...(value as unknown[])];
      fields[9] = 'another';
      tree.put(`s\t${rest}`, fields);
    }
  });
  void database.close();
}

describe('opening', () => {
  it('is refused for reading where there is no store', async () => {
    await withScratch(async (scratch) => {
      const root = path.join(scratch, 'none');
      await expect(Store.open(root, { readOnly: true })).rejects.toMatchObject({
        code: 'ERR_NOT_FOUND',
      });
      await mkdir(root);
      await expect(Store.open(root, { readOnly: true })).rejects.toMatchObject({
        code: 'ERR_NOT_FOUND',
      });
    });
  });

  it('refuses a name or label that none can be before it does anything', async () => {
    await withStore(async (store, scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      for (const options of [{ name: 'a\tb' }, { labels: { '': 'x' } }]) {
        const code = 'ERR_INVALID_ARGUMENT';
        await expect(store.import(reference, options)).rejects.toMatchObject({ code });
        await expect(store.pull('127.0.0.1:1/a', options)).rejects.toMatchObject({ code });
      }
      expect(store.content.list()).toEqual([]);
    });
  });

  it('refuses unknown kinds and durabilities', async () => {
    await withScratch(async (scratch) => {
      for (const options of [{ kind: 'zfs' }, { durability: 'maybe' }, { namespace: 'a/b' }]) {
        await expect(Store.open(scratch, options as StoreOptions)).rejects.toMatchObject({
          code: 'ERR_INVALID_ARGUMENT',
        });
      }
    });
  });

  it('keeps images of namespaces apart and shares what they are made of', async () => {
    await withStore(async (store, scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const other = await Store.open(store.root, { namespace: 'other', kind: store.kind });
      await store.import(reference);
      const report = await other.import(reference);
      expect(report.layers.every(({ status }) => status === 'present')).toBe(true);
      store.images.remove('layout');
      expect(other.images.list()).toHaveLength(1);
      expect(await store.gc()).toMatchObject({ content: [], snapshots: [] });
      await other.close();
    });
  });

  it('writes nothing when it is for reading', async () => {
    await withStore(async (store, scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      await store.import(reference);
      const reader = await Store.open(store.root, { readOnly: true });
      expect(reader.images.list()).toHaveLength(1);
      await expect(reader.import(reference)).rejects.toMatchObject({ code: 'ERR_STORE_READ_ONLY' });
      expect(() => reader.images.remove('layout')).toThrow(/reading only/);
      await reader.close();
    });
  });
});
