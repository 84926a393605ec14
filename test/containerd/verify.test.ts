// Verifying a real containerd: what its applier does in its own way is no finding, what it gets wrong is; what is missing
// of a store is told.

import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ContainerdStore } from '../../src/containerd/index.js';
import { containerdRepairScript } from '../../src/containerd/repair-script.js';
import { verifyContainerd } from '../../src/containerd/verify.js';
import { digestOf } from '../../src/oci/index.js';
import { runCommand } from '../support/command.js';
import { noContainerd, type TestContainerd, withContainerd } from '../support/containerd.js';
import { damagedLayers } from '../support/containerd-chain.js';
import { damageLayers } from '../support/damage-image.js';
import { DamageRound } from '../support/damage-rounds.js';
import { withScratch } from '../support/scratch.js';
import {
  dir,
  file,
  hardlink,
  opaque,
  symlink,
  type TarItem,
  whiteout,
} from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const code = (wanted: string) => expect.objectContaining({ code: wanted });
const odd = { mode: 0o2750, uid: 7, gid: 8 };

/** Layers that containerd applies in its own way, and rightly. */
const ownWay: TarItem[][] = [
  [
    dir('./', { mode: 0o700, uid: 5, xattrs: { 'user.root': 'x' } }),
    dir('a', odd),
    dir('a/b', { ...odd, xattrs: { 'user.note': 'inherited' } }),
    file('a/b/old', 'old'),
    symlink('lib', 'usr/lib'),
    dir('usr'),
    dir('usr/lib'),
    file('usr/lib/one', '1'),
    file('implied/in/base', 'x'),
    file('early', 'x', { mtime: -5_000_000_000n }),
    file('late', 'x', { mtime: 10_000_000_000_000_000_000n }),
    file('trusted', 'x', { xattrs: { 'trusted.note': 'x', 'user.kept': 'y' } }),
    dir('marked', { xattrs: { 'user.overlay.opaque': 'y', 'trusted.overlay.opaque': 'y' } }),
    file('marked/x', 'x'),
    file('names', 'several'),
    hardlink('other', 'names'),
    // The header of a link that says something else holds for the file.
    file('one', '1', { mtime: 1_700_000_000_000_000_000n }),
    hardlink('./two', '/one', { mode: 0o600, uid: 3, mtime: 1_600_000_001_000_000_002n }),
    hardlink('three', 'two', { mode: 0o4711, gid: 9, mtime: 1_500_000_000_000_000_000n }),
  ],
  [
    // Parents that are not named: of the layer below, and of none.
    file('a/b/new', 'new'),
    file('lib/two', '2'),
    file('fresh/deep/x', 'x'),
    // Whiteouts that hide nothing: of what never was, and in an opaque directory.
    whiteout('a/none'),
    dir('implied'),
    opaque('implied'),
    whiteout('implied/in'),
  ],
  [whiteout('a/b'), file('usr/lib/three', '3')],
  // A directory again that is hidden below.
  [file('a/b/again', 'x')],
];

describe.skipIf(noContainerd)(`a real containerd ${noContainerd ?? ''}`, () => {
  it.each([undefined, 'native'])('is clean where it has its own way (%s)', async (snapshotter) => {
    await withContainerd(async (daemon) => {
      await importLayers(daemon, ownWay, snapshotter);
      const { report } = await verifyContainerd({ root: daemon.root });
      expect(report.snapshots.flatMap(({ findings }) => findings)).toEqual([]);
      expect(report.snapshots.length).toBe(ownWay.length);
      expect(report.notes).toEqual([]);
      expect(report.ok).toBe(true);
      // Its own way with roots and links excuses nothing else that is wrong with them.
      const bottom = report.snapshots[0]?.directory ?? '';
      await chmod(bottom, 0o711);
      await chmod(path.join(bottom, 'one'), 0o640);
      const damaged = (await verifyContainerd({ root: daemon.root })).report.snapshots[0];
      expect(damaged?.findings.map((one) => [one.kind, one.path])).toEqual(
        ['', 'one', 'three', 'two'].map((at) => ['changed-mode', at]),
      );
    });
  });

  it('is found out where it gets a layer wrong', async () => {
    await withContainerd(async (daemon) => {
      await importLayers(daemon, [
        [dir('d'), file('d/old', 'x'), dir('e'), file('e/old', 'x'), file('top', 'x')],
        [whiteout('d'), dir('d'), file('d/new', 'x')],
        [opaque(''), dir('e'), file('e/new', 'x')],
      ]);
      const { report } = await verifyContainerd({ root: daemon.root });
      const found = report.snapshots.flatMap((one) => one.findings);
      expect(found.map(({ kind, path: at, layer }) => [layer, kind, at])).toEqual(
        expect.arrayContaining([
          [1, 'lost-opaque', 'd'],
          [2, 'lost-whiteout', 'd'],
          [2, 'lost-opaque', 'e'],
          [2, 'lost-whiteout', 'top'],
        ]),
      );
      const [image] = report.images;
      expect(image?.ok).toBe(false);
      expect(image?.revived.paths).toEqual(['d', 'd/new', 'd/old', 'e/old', 'top']);
    });
  });

  it('tells what is not unpacked, shares what images share, and is left as it was', async () => {
    await withContainerd(async (daemon) => {
      await importLayers(daemon, damageLayers.slice(0, 2));
      await importLayers(daemon, damageLayers, undefined, 'more');
      await daemon.ctr(
        'default',
        'images',
        'tag',
        'example.test/more:latest',
        'example.test/tag:1',
      );
      await withScratch(async (scratch) => {
        await writeImage(scratch, ownWay);
        await daemon.importLayout('k8s.io', 'example.test/packed', scratch, '--no-unpack');
      });
      const state = async () => [
        digestOf(await readFile(metadataOf(daemon))),
        (await stat(metadataOf(daemon))).mtimeMs,
        await readdir(daemon.root),
      ];
      const report = await daemon.whileStopped(async () => {
        const before = await state();
        const verified = await verifyContainerd({ root: daemon.root });
        expect(await state()).toEqual(before);
        return verified.report;
      });
      expect(report.ok).toBe(true);
      expect(report.notes).toEqual(['[k8s.io]example.test/packed:latest: is not unpacked']);
      expect(report.images.map(({ name }) => name)).toEqual([
        '[default]example.test/more:latest',
        '[default]example.test/oddities:latest',
        '[default]example.test/tag:1',
      ]);
      expect(report.snapshots.length).toBe(damageLayers.length);
      const one = await verifyContainerd({
        root: daemon.root,
        namespace: 'default',
        image: 'example.test/oddities:latest',
      });
      expect(one.report.images.length).toBe(1);
      expect(one.report.notes).toEqual([]);
      await expect(verifyContainerd({ root: daemon.root, namespace: 'none' })).rejects.toThrow(
        code('ERR_NOT_FOUND'),
      );
      await expect(verifyContainerd({ root: daemon.root, image: 'none' })).rejects.toThrow(
        code('ERR_IMAGE_NOT_FOUND'),
      );
    });
  });

  it('is checked by rules of structure where blobs are gone', async () => {
    await withContainerd(async (daemon) => {
      await importLayers(daemon, damageLayers);
      const store = ContainerdStore.open(daemon.root);
      const [, , top] = await damagedLayers(store, 'default', 'example.test/oddities:latest');
      const blobs = await store.blobs('default');
      store.close();
      const layers = blobs.filter(({ size }) => size > 2000).map(({ digest }) => digest);
      expect(layers.length).toBe(3);
      for (const digest of layers) {
        await rm(path.join(store.root.content, 'blobs', digest.replace(':', '/')));
      }
      const { report } = await verifyContainerd({ root: daemon.root });
      expect(report.ok).toBe(true);
      expect(report.notes.length).toBe(3);
      expect(report.notes[0]).toContain('only its marks could be checked');
      expect(report.snapshots.map(({ source }) => source)).toEqual(Array(3).fill('structure'));
      const round = await DamageRound.of(top === undefined ? [] : [top], 1, [
        'foreign-marker',
        'stray-whiteout',
      ]);
      expect(round.damages.length).toBe(2);
      const after = await verifyContainerd({ root: daemon.root });
      expect(after.report.ok).toBe(false);
    });
  });

  it('finds a damaged blob, and by structure what it cannot be compared with', async () => {
    await withContainerd(async (daemon) => {
      await importLayers(daemon, damageLayers);
      const store = ContainerdStore.open(daemon.root);
      const blobs = (await store.blobs('default')).filter(({ size }) => size > 2000);
      store.close();
      const digest = blobs[0]?.digest ?? '';
      const blob = path.join(store.root.content, 'blobs', digest.replace(':', '/'));
      await writeFile(blob, (await readFile(blob)).fill('x', 100, 200));
      const found = await verifyContainerd({ root: daemon.root });
      expect(found.report).toMatchObject({
        ok: false,
        damagedBlobs: [{ digest, code: 'ERR_DIGEST_MISMATCH' }],
        counts: { findings: 0, snapshots: 3 },
      });
      expect(await containerdRepairScript(found)).toContain(`The blob ${digest} is damaged`);
    });
  });

  it('is verified by the command', async () => {
    await withContainerd(async (daemon) => {
      await importLayers(daemon, damageLayers);
      const clean = await runCommand(['verify', '--containerd', daemon.root, '--json']);
      expect(clean).toMatchObject({ code: 0, stderr: '' });
      expect(JSON.parse(clean.stdout)).toMatchObject({ version: 1, ok: true, kind: 'containerd' });
      const store = ContainerdStore.open(daemon.root);
      const layers = await damagedLayers(store, 'default', 'example.test/oddities:latest');
      store.close();
      await DamageRound.of(layers, 1, ['zero-length']);
      const bad = await runCommand(['verify', '--containerd', daemon.root]);
      expect(bad.code).toBe(1);
      expect(bad.stdout).toContain('zero-length');
      const script = await runCommand(['verify', '--containerd', daemon.root, '--repair-script']);
      expect(script.code).toBe(1);
      expect(script.stdout).toMatch(/^#!\/bin\/sh\n/);
      const docker = await runCommand(['verify', '--docker', daemon.root]);
      expect(docker.code).not.toBe(0);
      expect(docker.stderr).toContain('is not the root of a Docker daemon');
    });
  });
});

function metadataOf({ root }: TestContainerd): string {
  return path.join(root, 'io.containerd.metadata.v1.bolt/meta.db');
}

async function importLayers(
  daemon: TestContainerd,
  layers: readonly (readonly TarItem[])[],
  snapshotter?: string,
  name = 'oddities',
): Promise<void> {
  await withScratch(async (scratch) => {
    await writeImage(scratch, layers, ['gzip', 'none']);
    const options = snapshotter === undefined ? [] : ['--snapshotter', snapshotter];
    await daemon.importLayout('default', `example.test/${name}`, scratch, ...options);
  });
}
