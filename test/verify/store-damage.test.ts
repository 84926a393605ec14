// Verifying and repairing stores of every kind and in every state of their manifests; what a finding hides.

import { execFile } from 'node:child_process';
import {
  copyFile,
  mkdir,
  readFile,
  rename,
  rm,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Store, VerifyReport } from '../../src/index.js';
import { Damager } from '../support/damage.js';
import { damageLayers } from '../support/damage-image.js';
import { DamageRound } from '../support/damage-rounds.js';
import { inspector } from '../support/inspector.js';
import { withStore } from '../support/store.js';
import { dir, file, hardlink, opaque, whiteout } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const asRoot = describe.skipIf(process.geteuid?.() !== 0);

/** Directories of the layers of the only image, bottom first. */
async function directories(store: Store): Promise<string[]> {
  return (await store.verify()).snapshots.map(({ directory }) => directory);
}

function setXattr(file: string, name: string, hex: string): Promise<unknown> {
  const seen = `/proc/${process.pid}/root${file}`;
  return inspector().request({ op: 'change', changes: [['setxattr', seen, name, hex]], keep: [] });
}

function named(report: VerifyReport): string[] {
  return report.snapshots.flatMap(({ layer, findings }) =>
    findings.map(({ kind, path: at }) => `${layer} ${kind} ${at}`),
  );
}

asRoot('every kind of store', () => {
  for (const [kind, format] of [
    ['native', 'flat'],
    ['aufs', 'aufs'],
  ] as const) {
    it(`${kind}: every damage is found by its name and repaired`, {
      timeout: 120_000,
    }, async () => {
      await withStore(
        async (store, scratch) => {
          const reference = await writeImage(path.join(scratch, 'layout'), damageLayers);
          await store.import(reference, { name: 'image' });
          for (const deep of [false, true]) {
            const clean = await store.verify({ deep });
            expect(named(clean)).toEqual([]);
            expect(clean).toMatchObject({ ok: true, notes: [] });
          }
          for (let seed = 1; seed <= 3; seed++) {
            const layers = await Promise.all(
              (await directories(store)).map(async (directory) => ({
                directory,
                damager: await Damager.of(directory, { format }),
              })),
            );
            const round = await DamageRound.of(layers, seed);
            const report = await store.verify();
            // aufs' marks are told by what they hide.
            const findings = report.snapshots.flatMap((one) =>
              one.findings.map((finding) =>
                kind === 'aufs' && finding.kind.endsWith('-whiteout')
                  ? { ...finding, path: finding.path.replace(/[^/]*$/, '.wh.$&') }
                  : finding,
              ),
            );
            expect(round.compare(findings), `seed ${seed}`).toEqual([]);
            expect(await store.verify({ repair: true })).toMatchObject({ ok: true, notes: [] });
            expect(named(await store.verify({ deep: true }))).toEqual([]);
          }
        },
        { kind },
      );
    });
  }

  it('layers that were unpacked with other policies are compared by these', async () => {
    await withStore(async (store, scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), damageLayers);
      await store.import(reference, { policies: { ownership: 'ignore', xattrs: 'best-effort' } });
      for (const deep of [false, true]) {
        expect(named(await store.verify({ deep }))).toEqual([]);
      }
      const [bottom = ''] = await directories(store);
      await unlink(path.join(bottom, 'd0/text'));
      const report = await store.verify({ repair: true });
      expect(report.ok).toBe(true);
      expect(named(report)).toEqual(['0 missing-entry d0/text']);
      expect(named(await store.verify())).toEqual([]);
    });
  });
});

asRoot('manifests', () => {
  it('one that is absent or damaged is done without, and made again', async () => {
    await withStore(async (store, scratch) => {
      await store.import(await writeImage(path.join(scratch, 'layout'), damageLayers));
      const [bottom = '', middle = '', top = ''] = await directories(store);
      await rm(path.join(bottom, '../tree.idx'));
      await writeFile(path.join(middle, '../tree.idx'), 'not an index');
      await unlink(path.join(top, 'f0/text'));
      const report = await store.verify();
      expect(report.snapshots.map(({ source }) => source)).toEqual(['blob', 'blob', 'manifest']);
      expect(named(report)).toEqual(['2 missing-entry f0/text']);
      expect(report.notes).toHaveLength(2);
      expect(report.notes.join()).toContain('has no sound manifest');
      const repaired = await store.verify({ repair: true });
      expect(repaired.repairs?.map(({ status }) => status)).toEqual(['done', 'done', 'done']);
      expect(await store.verify()).toMatchObject({ ok: true, notes: [] });
    });
  });

  it('whoever changes a file and its manifest is found by --deep alone', async () => {
    await withStore(async (store, scratch) => {
      const layer = (content: string) => [file('f', content, { mtime: 5_000_000_000n })];
      await store.import(await writeImage(path.join(scratch, 'a'), [layer('good')]), { name: 'a' });
      const [good = ''] = await directories(store);
      const other = await writeImage(path.join(scratch, 'b'), [layer('evil')]);
      await store.import(other, { name: 'b' });
      const [evil = ''] = (await directories(store)).filter((one) => one !== good);
      for (const name of ['fs/f', 'tree.idx']) {
        await copyFile(path.join(evil, '..', name), path.join(good, '..', name));
      }
      await utimes(path.join(good, 'f'), 5, 5);
      expect(named(await store.verify({ images: ['a'] }))).toEqual([]);
      const deep = await store.verify({ images: ['a'], deep: true });
      expect(named(deep)).toEqual(['0 changed-content f']);
      expect(deep.snapshots[0]?.signatures).toMatchObject([{ id: 'tampering' }]);
      expect((await store.verify({ images: ['a'], deep: true, repair: true })).ok).toBe(true);
      expect(await readFile(path.join(good, 'f'), 'utf8')).toBe('good');
    });
  });

  it('without the blob the manifest must do, and nothing can be repaired', async () => {
    await withStore(async (store, scratch) => {
      const report = await store.import(await writeImage(path.join(scratch, 'l'), damageLayers));
      for (const { digest } of report.layers) {
        await store.content.delete(digest);
      }
      const deep = await store.verify({ deep: true });
      expect(deep).toMatchObject({ ok: true });
      expect(deep.snapshots.map(({ source }) => source)).toEqual(Array(3).fill('manifest'));
      expect(deep.notes.join()).toContain('its blob cannot be read');
      const [bottom = ''] = await directories(store);
      await unlink(path.join(bottom, 'd0/text'));
      const { ok, repairs } = await store.verify({ repair: true });
      expect(ok).toBe(false);
      expect(repairs).toMatchObject([{ status: 'impossible', code: 'ERR_BLOB_NOT_FOUND' }]);
      await rm(path.join(bottom, '../tree.idx'));
      expect((await store.verify()).notes.join()).toContain('cannot be compared with anything');
    });
  });

  it('a damaged blob keeps no other layer from being repaired, and can be had anew', async () => {
    await withStore(async (store, scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), damageLayers);
      const { layers } = await store.import(reference);
      const digest = layers[2]?.digest ?? '';
      const blob = await store.content.path(digest);
      const bytes = await readFile(blob);
      await writeFile(blob, bytes.fill('x', 100, 200));
      const all = await directories(store);
      await writeFile(path.join(all[0] ?? '', 'extra'), '');
      await writeFile(path.join(all[2] ?? '', 'extra'), '');
      const { repairs } = await store.verify({ repair: true });
      expect(repairs).toMatchObject([
        { status: 'done' },
        { status: 'impossible', fix: expect.stringContaining(`content rm ${digest}`) },
      ]);
      expect(named(await store.verify())).toContain('2 extra-entry extra');
      await truncate(blob, 100);
      expect((await store.verify({ repair: true })).repairs).toMatchObject([
        { status: 'impossible', fix: expect.stringContaining(`content rm ${digest}`) },
      ]);
      await store.content.delete(digest);
      await store.import(reference);
      expect(await store.verify({ repair: true })).toMatchObject({ ok: true });
      expect((await store.verify()).ok).toBe(true);
    });
  });

  it('a damaged blob is found where it is read, also of a snapshot that is sound', async () => {
    await withStore(async (store, scratch) => {
      const { layers } = await store.import(
        await writeImage(path.join(scratch, 'layout'), damageLayers),
      );
      const { digest = '', chainID } = layers[1] ?? {};
      const blob = await store.content.path(digest);
      await writeFile(blob, (await readFile(blob)).fill('x', 100, 200));
      expect(await store.verify()).toMatchObject({ ok: true, damagedBlobs: [] });
      for (const repair of [false, true]) {
        expect(await store.verify({ deep: true, repair })).toMatchObject({
          ok: false,
          damagedBlobs: [{ digest, snapshots: [chainID], code: 'ERR_DIGEST_MISMATCH' }],
          counts: { findings: 0, damagedBlobs: 1 },
          images: [{ ok: true }],
        });
      }
      await truncate(blob, 100);
      const [, middle = ''] = await directories(store);
      await rm(path.join(middle, '../tree.idx'));
      expect(await store.verify()).toMatchObject({
        ok: false,
        damagedBlobs: [{ digest, snapshots: [chainID], code: 'ERR_SIZE_MISMATCH' }],
      });
    });
  });

  it('a snapshot whose directory is gone is all missing, and comes back', async () => {
    await withStore(async (store, scratch) => {
      await store.import(await writeImage(path.join(scratch, 'layout'), damageLayers));
      const all = await directories(store);
      await rename(path.dirname(all[1] as string), path.join(scratch, 'away'));
      expect(named(await store.verify())).toEqual(['1 missing-entry ']);
      expect((await store.verify({ repair: true })).ok).toBe(true);
      expect(await directories(store)).toEqual(all);
    });
  });
});

asRoot('causes', () => {
  const layers = [
    [dir('etc'), file('etc/a', 'a'), file('etc/b', 'b'), dir('usr'), file('usr/x', 'x')],
    [dir('etc'), file('etc/c', 'c'), whiteout('usr/x'), file('usr/z', Buffer.alloc(9000, 'z'))],
    [file('etc/a', 'newer'), dir('opt'), file('opt/o', 'o')],
  ];

  async function withImage(
    work: (store: Store, directories: string[]) => Promise<void>,
  ): Promise<void> {
    await withStore(async (store, scratch) => {
      await store.import(await writeImage(path.join(scratch, 'layout'), layers), { name: 'i' });
      await work(store, await directories(store));
    });
  }

  it('opaque copy-up: what is hidden, of the snapshot and of the image', async () => {
    await withImage(async (store, [, middle = '']) => {
      await setXattr(path.join(middle, 'etc'), 'trusted.overlay.opaque', '79');
      const report = await store.verify();
      expect(named(report)).toEqual(['1 leaked-opaque etc']);
      expect(report.snapshots[1]).toMatchObject({
        signatures: [{ id: 'opaque-copy-up', findings: 1 }],
        hidden: { paths: ['etc/a', 'etc/b'], total: 2 },
        revived: { total: 0 },
      });
      // The top layer brings another etc/a.
      expect(report.images).toMatchObject(
        [
          { name: 'docker.io/library/i:latest', ok: false, hidden: { paths: ['etc/b'], total: 1 } },
        ].map(({ name: _, ...rest }) => rest),
      );
    });
  });

  it('lost whiteouts: what is seen again', async () => {
    await withImage(async (store, [, middle = '']) => {
      await unlink(path.join(middle, 'usr/x'));
      const report = await store.verify();
      expect(named(report)).toEqual(['1 lost-whiteout usr/x']);
      expect(report.snapshots[1]?.signatures).toMatchObject([{ id: 'lost-whiteouts' }]);
      expect(report.images[0]).toMatchObject({
        hidden: { total: 0 },
        revived: { paths: ['usr/x'], total: 1 },
      });
    });
  });

  it('power loss: empty files, and files that end in zeros', async () => {
    await withImage(async (store, [bottom = '', middle = '']) => {
      await truncate(path.join(bottom, 'etc/b'), 0);
      await truncate(path.join(middle, 'usr/z'), 4096);
      await truncate(path.join(middle, 'usr/z'), 9000);
      const report = await store.verify();
      expect(named(report)).toEqual(['0 zero-length etc/b', '1 changed-content usr/z']);
      expect(report.snapshots[1]?.findings[0]).toMatchObject({ zeroTail: 9000 - 4096 });
      for (const { signatures } of report.snapshots.slice(0, 2)) {
        expect(signatures).toMatchObject([{ id: 'power-loss', findings: 1 }]);
      }
    });
  });

  it('markers of the other namespace', async () => {
    await withImage(async (store, [, middle = '']) => {
      await setXattr(path.join(middle, 'etc'), 'user.overlay.opaque', '79');
      const report = await store.verify();
      expect(named(report)).toEqual(['1 foreign-marker etc']);
      expect(report.snapshots[1]?.signatures).toMatchObject([{ id: 'wrong-namespace' }]);
    });
  });

  it('copies of a lower file are compared with what the blob says, not with the damaged one', async () => {
    await withStore(async (store, scratch) => {
      const linked = [[file('a', 'content')], [hardlink('b', 'a')], [opaque('nothing')]];
      await store.import(await writeImage(path.join(scratch, 'layout'), linked));
      const [bottom = '', middle = ''] = await directories(store);
      await writeFile(path.join(bottom, 'a'), 'CONTENT');
      await writeFile(path.join(middle, 'b'), 'CONTENT');
      const found = ['0 changed-content a', '1 changed-content a', '1 changed-content b'];
      expect(named(await store.verify({ deep: true }))).toEqual(found);
      expect((await store.verify({ repair: true })).ok).toBe(true);
      expect(await readFile(path.join(middle, 'b'), 'utf8')).toBe('content');
    });
  });
});

asRoot('live mounts', () => {
  it('of the layer alone, bound, and in another mount namespace', async () => {
    await withStore(async (store, scratch) => {
      await store.import(await writeImage(path.join(scratch, 'layout'), damageLayers));
      const [bottom = ''] = await directories(store);
      await unlink(path.join(bottom, 'd0/text'));
      const target = path.join(scratch, 'a target');
      await mkdir(target);
      const script = `mount --bind '${bottom}/d1' '${target}'; echo ready; read line`;
      const child = execFile('unshare', ['--mount', 'sh', '-c', script]);
      await new Promise((resolve) => child.stdout?.once('data', resolve));
      try {
        const { repairs } = await store.verify({ repair: true });
        expect(repairs).toMatchObject([
          {
            status: 'impossible',
            code: 'ERR_SNAPSHOT_MOUNTED',
            reason: expect.stringContaining(target),
            fix: expect.stringContaining('Stop the containers'),
          },
        ]);
        const dry = await store.verify({ repair: true, dryRun: true });
        expect(dry.repairs).toMatchObject([{ status: 'impossible' }]);
      } finally {
        child.stdin?.end('\n');
        await new Promise((resolve) => child.once('close', resolve));
      }
      expect((await store.verify({ repair: true })).ok).toBe(true);
    });
  });

  // Again: a process of another test that has copied all mounts of this moment into a namespace of its own keeps them.
  it('none are seen where there are none, and containers on top go on', { retry: 2 }, async () => {
    await withStore(async (store, scratch) => {
      const { name } = await store.import(await writeImage(path.join(scratch, 'l'), damageLayers));
      const { id } = await store.containers.create(name, { id: 'c' });
      const target = path.join(scratch, 'root');
      await mkdir(target);
      await store.containers.mount(id, target);
      await writeFile(path.join(target, 'mine'), 'mine');
      await store.containers.umount(target);
      const [bottom = ''] = await directories(store);
      await unlink(path.join(bottom, 'd7/text'));
      expect((await store.verify({ repair: true })).ok).toBe(true);
      expect((await directories(store))[0]).toBe(bottom);
      await store.containers.mount(id, target);
      try {
        expect(await readFile(path.join(target, 'mine'), 'utf8')).toBe('mine');
        expect(await readFile(path.join(target, 'd7/text'), 'utf8')).toContain('text of d7');
      } finally {
        await store.containers.umount(target);
      }
    });
  });
});
