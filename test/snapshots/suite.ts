// What every kind of snapshotter must do: the behaviours that containerd's own snapshotter suite asks for, and more.
// All mounts are real, in this process's mount namespace; aufs, which current kernels lack, is stood in for by
// test/support/aufs-union.ts where it would be mounted.

import { readFileSync } from 'node:fs';
import { chmod, lstat, mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { SnapshotInfo, SnapshotterKind } from '../../src/snapshots/index.js';
import {
  apply,
  capability,
  dir,
  fifo,
  file,
  hardlink,
  mode,
  owner,
  remove,
  rename,
  symlink,
} from '../support/changes.js';
import {
  commitChanges,
  compareChain,
  dumpSnapshot,
  type TestStore,
  withMounts,
  withStore,
} from '../support/snapshots.js';

const root = { 'containerd.io/gc.root': '2026-11-24T00:00:00Z' };

/** Whether other owners than our own can be set: not in a user namespace with one id. */
const ids = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/);
const manyIDs = Number(ids[2]) > 1;

/** Makes c1 <- c2 <- {a1 active, v1 view}, and a2, v2 without parents. */
async function makeBase({ snapshotter }: TestStore): Promise<void> {
  const options = { labels: root };
  await snapshotter.prepare('c1-a', '', options);
  await snapshotter.commit('c1', 'c1-a', options);
  await snapshotter.prepare('c2-a', 'c1', options);
  await snapshotter.commit('c2', 'c2-a', options);
  await snapshotter.prepare('a1', 'c2', options);
  await snapshotter.prepare('a2', '', options);
  await snapshotter.view('v1', 'c2', options);
  await snapshotter.view('v2', '', options);
}

async function walked({ snapshotter }: TestStore, ...filters: string[]): Promise<string[]> {
  const names: string[] = [];
  await snapshotter.walk(({ name }) => void names.push(name), ...filters);
  return names.sort();
}

/** Describes the suite for one kind. */
export function snapshotterSuite(kind: SnapshotterKind): void {
  const withKind = (work: (store: TestStore) => Promise<void>) => () => withStore(kind, work);

  describe(`${kind}: records`, () => {
    test(
      'prepare, write, commit, prepare on top, view, remove from the top',
      withKind(async (store) => {
        const { snapshotter } = store;
        const initial = [file('foo', 'foo\n', 0o777), dir('a'), dir('a/b'), dir('a/b/c')];
        const diff = [file('bar', 'bar\n', 0o777), file('foo', 'bar\n', 0o777), remove('a/b')];
        const first = await snapshotter.prepare('preparing', '', { labels: root });
        expect(first.length).toBeGreaterThan(0);
        await withMounts(first, store.work, ({ directory }) => apply(directory, initial));
        await snapshotter.commit('committed', 'preparing', { labels: root });
        expect(await snapshotter.stat('committed')).toMatchObject({
          kind: 'committed',
          parent: undefined,
          labels: root,
        });
        await expect(snapshotter.stat('preparing')).rejects.toMatchObject({
          code: 'ERR_STORE_NOT_FOUND',
        });

        const next = await snapshotter.prepare('next', 'committed');
        await withMounts(next, store.work, async ({ directory }) => {
          expect((await readdir(directory)).sort()).toEqual(['a', 'foo']);
          expect(await readdir(path.join(directory, 'a/b'))).toEqual(['c']);
          await apply(directory, diff);
        });
        expect(await snapshotter.stat('next')).toMatchObject({
          kind: 'active',
          parent: 'committed',
        });
        await snapshotter.commit('committed-next', 'next');
        const infos = [
          await snapshotter.stat('committed'),
          await snapshotter.stat('committed-next'),
        ];
        const seen: SnapshotInfo[] = [];
        await snapshotter.walk((info) => void seen.push(info));
        expect(seen).toEqual(infos);

        const tree = await dumpSnapshot(store, 'committed-next');
        expect([...tree.keys()].sort()).toEqual(['', 'a', 'bar', 'foo']);
        expect(tree.get('foo')?.size).toBe(4);
        await expect(snapshotter.remove('committed')).rejects.toMatchObject({
          code: 'ERR_STORE_IN_USE',
        });
        await snapshotter.remove('committed-next');
        await snapshotter.remove('committed');
        expect(await walked(store)).toEqual([]);
      }),
    );

    test(
      'stat of an active snapshot, mounted and written to',
      withKind(async ({ snapshotter, work }) => {
        const mounts = await snapshotter.prepare('preparing', '', { labels: root });
        await withMounts(mounts, work, async ({ directory }) => {
          await writeFile(path.join(directory, 'foo'), 'foo\n');
          expect(await snapshotter.stat('preparing')).toMatchObject({
            name: 'preparing',
            kind: 'active',
            parent: undefined,
            labels: root,
            usage: undefined,
          });
          // containerd's suite: a commit does not need the mount to be gone.
          await snapshotter.commit('committed', 'preparing', { labels: root });
        });
        expect(await snapshotter.stat('committed')).toMatchObject({
          name: 'committed',
          kind: 'committed',
          parent: undefined,
          durability: 'unsynced',
        });
      }),
    );

    test(
      'the parent of a parent',
      withKind(async (store) => {
        const a = await commitChanges(store, '', [file('foo', 'foo\n')]);
        const b = await commitChanges(store, a, [file('foo', 'foo bar\n')]);
        const { parent } = await store.snapshotter.stat(b);
        expect(parent).toBe(a);
        expect((await store.snapshotter.stat(parent as string)).parent).toBeUndefined();
      }),
    );

    test(
      'keys are unique, whatever the kind of snapshot',
      withKind(async (store) => {
        const { snapshotter } = store;
        await makeBase(store);
        const exists = { code: 'ERR_STORE_EXISTS' };
        for (const key of ['a1', 'a2', 'v1', 'v2', 'c1', 'c2']) {
          await expect(snapshotter.prepare(key, 'c1')).rejects.toMatchObject(exists);
          await expect(snapshotter.view(key, 'c1')).rejects.toMatchObject(exists);
          await expect(snapshotter.view(key, '')).rejects.toMatchObject(exists);
        }
        for (const name of ['a2', 'v1', 'c1', 'a1']) {
          await expect(snapshotter.commit(name, 'a1')).rejects.toMatchObject(exists);
        }
        expect(await walked(store)).toEqual(['a1', 'a2', 'c1', 'c2', 'v1', 'v2']);
        // What was refused has left no directory.
        const directory = path.dirname((await snapshotter.stat('a1')).directory);
        expect(await readdir(directory)).toHaveLength(6);
      }),
    );

    test(
      'a parent must be committed',
      withKind(async (store) => {
        const { snapshotter } = store;
        await makeBase(store);
        for (const parent of ['a1', 'a2', 'v1', 'v2']) {
          const refused = { code: 'ERR_STORE_IN_USE' };
          await expect(snapshotter.prepare('x', parent)).rejects.toMatchObject(refused);
          await expect(snapshotter.view('x', parent)).rejects.toMatchObject(refused);
        }
        const missing = { code: 'ERR_STORE_NOT_FOUND' };
        await expect(snapshotter.prepare('x', 'none')).rejects.toMatchObject(missing);
        await expect(snapshotter.view('x', 'none')).rejects.toMatchObject(missing);
        await expect(snapshotter.stat('x')).rejects.toMatchObject(missing);
      }),
    );

    test(
      'only what is active can be committed, only what is not committed mounted',
      withKind(async (store) => {
        const { snapshotter } = store;
        await makeBase(store);
        const refused = { code: 'ERR_STORE_IN_USE' };
        await expect(snapshotter.commit('x', 'v1')).rejects.toMatchObject(refused);
        await expect(snapshotter.commit('x', 'v2')).rejects.toMatchObject(refused);
        await expect(snapshotter.commit('x', 'c1')).rejects.toMatchObject(refused);
        await expect(snapshotter.mounts('c1')).rejects.toMatchObject(refused);
        const missing = { code: 'ERR_STORE_NOT_FOUND' };
        await expect(snapshotter.commit('x', 'none')).rejects.toMatchObject(missing);
        await expect(snapshotter.mounts('none')).rejects.toMatchObject(missing);
        await expect(snapshotter.usage('none')).rejects.toMatchObject(missing);
        await expect(snapshotter.remove('none')).rejects.toMatchObject(missing);
        await expect(snapshotter.update({ name: 'none', labels: {} })).rejects.toMatchObject(
          missing,
        );
      }),
    );

    test(
      'mounts gives what prepare and view gave',
      withKind(async (store) => {
        const { snapshotter } = store;
        await makeBase(store);
        expect(await snapshotter.prepare('x', 'c2')).toEqual(await snapshotter.mounts('x'));
        expect(await snapshotter.view('y', 'c2')).toEqual(await snapshotter.mounts('y'));
      }),
    );

    test(
      'update changes labels and the time, and nothing else',
      withKind(async (store) => {
        const { snapshotter } = store;
        const began = Date.now();
        await makeBase(store);
        const ended = Date.now();
        const expected = [
          ['c1', 'committed', undefined],
          ['c2', 'committed', 'c1'],
          ['a1', 'active', 'c2'],
          ['a2', 'active', undefined],
          ['v1', 'view', 'c2'],
          ['v2', 'view', undefined],
        ] as const;
        for (const [name, kindOf, parent] of expected) {
          const info = await snapshotter.stat(name);
          expect(info).toMatchObject({ name, kind: kindOf, parent, labels: root });
          expect(info.createdAt).toBeGreaterThanOrEqual(began);
          expect(info.createdAt).toBeLessThanOrEqual(ended);
          expect(info.updatedAt).toBe(info.createdAt);

          const labels = { l1: 'v1', l2: 'v2', l3: 'v3', ...root };
          const changed = { ...info, parent: 'doesnotexist', kind: 'view' as const, labels };
          const before = Date.now();
          const updated = await snapshotter.update(changed);
          expect(updated).toEqual({ ...info, labels, updatedAt: updated.updatedAt });
          expect(updated.updatedAt).toBeGreaterThanOrEqual(before);
          expect(updated.updatedAt).toBeLessThanOrEqual(Date.now());

          const some = { name, labels: { l1: 'updated', l4: 'v4' } };
          expect((await snapshotter.update(some, 'labels.l1', 'labels.l2')).labels).toEqual({
            l1: 'updated',
            l3: 'v3',
            ...root,
          });
          const all = { name, labels: { l4: 'v4', ...root } };
          expect((await snapshotter.update(all, 'labels')).labels).toEqual(all.labels);
          expect((await snapshotter.stat(name)).labels).toEqual(all.labels);
          await expect(snapshotter.update(changed, 'parent')).rejects.toMatchObject({
            code: 'ERR_INVALID_ARGUMENT',
          });
        }
      }),
    );

    test(
      'labels pass through, a commit has its own',
      withKind(async ({ snapshotter }) => {
        const labels = { 'containerd.io/snapshot.ref': 'sha256:00', 'containerd.io/gc.flat': '' };
        await snapshotter.prepare('a', '', { labels });
        expect((await snapshotter.stat('a')).labels).toEqual(labels);
        await snapshotter.commit('c', 'a', { labels: { other: '1' } });
        expect((await snapshotter.stat('c')).labels).toEqual({ other: '1' });
      }),
    );

    test(
      'a removed key can be used again, a name too',
      withKind(async ({ snapshotter }) => {
        await snapshotter.prepare('committed-a', '');
        await snapshotter.commit('committed-1', 'committed-a');
        await snapshotter.prepare('reuse-1', 'committed-1');
        await snapshotter.remove('reuse-1');
        await snapshotter.view('reuse-1', 'committed-1');
        await snapshotter.remove('reuse-1');
        await snapshotter.prepare('reuse-1', '');
        await snapshotter.remove('committed-1');
        await snapshotter.commit('committed-1', 'reuse-1');
      }),
    );

    test(
      'walk with filters',
      withKind(async (store) => {
        const { snapshotter } = store;
        const gc = 'containerd.io/gc.root';
        const labels = { [gc]: 'check-walk' };
        await snapshotter.prepare('a-np', '', { labels });
        await snapshotter.prepare('p-tmp', '', { labels });
        await snapshotter.commit('p', 'p-tmp', { labels });
        await snapshotter.prepare('a', 'p', { labels });
        await snapshotter.view('v', 'p', { labels });
        await snapshotter.prepare('p-wl-tmp', '', { labels });
        await snapshotter.commit('p-wl', 'p-wl-tmp', { labels: { l: '1', ...labels } });
        await snapshotter.prepare('a-wl', 'p-wl', { labels: { l: '2', ...labels } });
        await snapshotter.view('v-wl', 'p-wl', { labels: { l: '3', ...labels } });
        await snapshotter.prepare('a-np-wl', '', { labels: { l: '2', ...labels } });
        const ours = `labels."${gc}"==check-walk`;
        const cases: [filters: string[], names: string[]][] = [
          [[ours], ['a', 'a-np', 'a-np-wl', 'a-wl', 'p', 'p-wl', 'v', 'v-wl']],
          [[`kind==active,${ours}`], ['a', 'a-np', 'a-np-wl', 'a-wl']],
          [[`kind==view,${ours}`], ['v', 'v-wl']],
          [[`kind==committed,${ours}`], ['p', 'p-wl']],
          [[`labels.l,${ours}`], ['a-np-wl', 'a-wl', 'p-wl', 'v-wl']],
          [[`labels.l==2,${ours}`], ['a-np-wl', 'a-wl']],
          [[`kind==active,labels.l==2,${ours}`], ['a-np-wl', 'a-wl']],
          [[`parent==p,${ours}`], ['a', 'v']],
          [[`parent==p-wl,${ours}`], ['a-wl', 'v-wl']],
          [
            ['name==a', 'labels.l==3'],
            ['a', 'v-wl'],
          ],
          [
            ['name~=^a-', 'kind==view'],
            ['a-np', 'a-np-wl', 'a-wl', 'v', 'v-wl'],
          ],
          [['name==none'], []],
        ];
        for (const [filters, names] of cases) {
          expect(await walked(store, ...filters), filters.join(' or ')).toEqual(names);
        }
        await expect(walked(store, 'name=')).rejects.toMatchObject({ code: 'ERR_INVALID_FILTER' });
      }),
    );

    test(
      'stat and remove while walking',
      withKind(async (store) => {
        const { snapshotter } = store;
        await makeBase(store);
        const seen: string[] = [];
        await snapshotter.walk(async (info) => {
          expect(await snapshotter.stat(info.name)).toEqual(info);
          seen.push(info.name);
        });
        expect(seen).toHaveLength(6);
        await snapshotter.walk(({ name }) => snapshotter.remove(name), 'kind!=committed');
        expect(await walked(store)).toEqual(['c1', 'c2']);
        const failure = new Error('enough');
        await expect(
          snapshotter.walk(() => {
            throw failure;
          }),
        ).rejects.toBe(failure);
      }),
    );

    test(
      'what has children stays',
      withKind(async (store) => {
        const { snapshotter } = store;
        const base = await commitChanges(store, '', []);
        const middle = await commitChanges(store, base, []);
        await snapshotter.prepare('top', middle);
        const refused = { code: 'ERR_STORE_IN_USE' };
        await expect(snapshotter.remove(middle)).rejects.toMatchObject(refused);
        await expect(snapshotter.remove(base)).rejects.toMatchObject(refused);
        await snapshotter.remove('top');
        await snapshotter.view('top', middle);
        await expect(snapshotter.remove(middle)).rejects.toMatchObject(refused);
        await snapshotter.remove('top');
        await snapshotter.remove(middle);
        await snapshotter.remove(base);
      }),
    );

    test(
      'close twice',
      withKind(async ({ snapshotter }) => {
        await snapshotter.prepare('a', '');
        await snapshotter.commit('c', 'a');
        await snapshotter.remove('c');
        await snapshotter.close();
        await snapshotter.close();
      }),
    );
  });

  describe(`${kind}: files`, () => {
    test(
      'files are updated in an upper layer',
      withKind(async (store) => {
        const first = [
          dir('etc', 0o700),
          file('etc/hosts', 'mydomain 10.0.0.1'),
          file('etc/profile', 'PATH=/usr/bin'),
        ];
        const second = [
          file('etc/hosts', 'mydomain 10.0.0.2'),
          file('etc/profile', 'PATH=/usr/bin', 0o666),
          dir('root', 0o700),
          file('root/.bashrc', 'PATH=/usr/sbin:/usr/bin'),
        ];
        for (let i = 0; i < 5; i++) {
          expect(await compareChain(store, [first, second])).toEqual([]);
        }
      }),
    );

    test(
      'a directory of a lower layer is removed and made again',
      withKind(async (store) => {
        const differences = await compareChain(store, [
          [dir('lib', 0o700), file('lib/hidden', '')],
          [remove('lib'), dir('lib', 0o700), file('lib/not-hidden', '')],
          [file('lib/newfile', '')],
        ]);
        expect(differences).toEqual([]);
      }),
    );

    test.skipIf(!manyIDs)(
      'owners are changed',
      withKind(async (store) => {
        const differences = await compareChain(store, [
          [
            dir('opt', 0o700),
            dir('opt/a', 0o700),
            dir('opt/a/b', 0o700),
            file('opt/a/b/f', 'hello'),
          ],
          ['opt', 'opt/a', 'opt/a/b', 'opt/a/b/f'].map((name) => owner(name, 1, 1)),
        ]);
        expect(differences).toEqual([]);
      }),
    );

    test.skipIf(!manyIDs)(
      'owners and modes of directories hold over commits',
      withKind(async (store) => {
        const differences = await compareChain(store, [
          [
            ...['dir1', 'dir2', 'dir3', 'dir4', 'dir5'].map((name) => dir(name, 0o700)),
            file('dir4/f1', '...'),
            file('dir5/f1', '...'),
            ...['dir1', 'dir2', 'dir3', 'dir5', 'dir5/f1'].map((name) => owner(name, 1, 1)),
          ],
          [owner('dir2', 0, 0), remove('dir3'), owner('dir4', 1, 1), owner('dir4/f1', 1, 1)],
          [
            dir('dir3', 0o700),
            owner('dir3', 1, 1),
            remove('dir5'),
            dir('dir5', 0o700),
            owner('dir5', 1, 1),
          ],
        ]);
        expect(differences).toEqual([]);
      }),
    );

    test(
      'all twelve mode bits hold, of the root directory too',
      withKind(async (store) => {
        const differences = await compareChain(store, [
          [
            dir('sticky', 0o1777),
            dir('group', 0o2755),
            file('suid', 'x', 0o4755),
            mode('', 0o1771),
          ],
          [mode('sticky', 0o700), mode('suid', 0o6711)],
          [file('new', ''), mode('', 0o711)],
        ]);
        expect(differences).toEqual([]);
      }),
    );

    test(
      'deleted files stay deleted in what comes after',
      withKind(async (store) => {
        const differences = await compareChain(store, [
          [
            file('foo', 'foo\n', 0o777),
            file('foobar', 'foobar\n', 0o777),
            dir('d'),
            file('d/f', ''),
          ],
          [remove('foobar'), remove('d')],
          [],
          [file('foobar', 'again'), dir('d')],
          [remove('foo'), file('d/g', '')],
        ]);
        expect(differences).toEqual([]);
      }),
    );

    test(
      'a name changes its type',
      withKind(async (store) => {
        const differences = await compareChain(store, [
          [file('a', 'file'), dir('b'), file('b/inside', ''), symlink('c', 'a'), fifo('d')],
          [remove('a'), dir('a'), file('a/x', ''), remove('b'), file('b', 'file')],
          [remove('c'), dir('c'), remove('d'), symlink('d', 'c')],
          [remove('a'), symlink('a', 'b'), file('c/y', '')],
        ]);
        expect(differences).toEqual([]);
      }),
    );

    test(
      'files of a lower layer are moved, by a hard link',
      withKind(async (store) => {
        const differences = await compareChain(store, [
          [
            dir('dir1', 0o700),
            file('dir1/f1', 'Hello'),
            dir('dir2', 0o700),
            file('dir2/f2', '...'),
          ],
          [
            dir('dir3', 0o700),
            file('dir3/f1', 'Hello'),
            remove('dir1'),
            hardlink('dir2/f2', 'dir3/f2'),
            remove('dir2/f2'),
          ],
        ]);
        expect(differences).toEqual([]);
      }),
    );

    test(
      'files are renamed, directories where the kind can',
      withKind(async (store) => {
        const differences = await compareChain(store, [
          [
            dir('dir1', 0o700),
            dir('somefiles', 0o700),
            file('somefiles/f1', 'was here first!'),
            file('somefiles/f2', 'nothing interesting'),
          ],
          [
            // overlayfs does not rename a directory of a lower layer without redirect_dir (overlayfs.rst).
            ...(kind === 'overlayfs' ? [] : [rename('dir1', 'dir2')]),
            file('somefiles/f1-overwrite', 'new content 1'),
            rename('somefiles/f1-overwrite', 'somefiles/f1'),
            rename('somefiles/f2', 'somefiles/f3'),
          ],
        ]);
        expect(differences).toEqual([]);
      }),
    );

    test(
      'hard links within a layer stay links in what comes after',
      withKind(async (store) => {
        const differences = await compareChain(store, [
          [dir('d'), file('a', 'one'), hardlink('a', 'b'), hardlink('a', 'd/c')],
          [file('other', '')],
          [remove('a')],
        ]);
        expect(differences).toEqual([]);
      }),
    );

    test(
      'a capability of a file goes through the layers',
      withKind(async (store) => {
        const name = 'security.capability';
        const base = await commitChanges(store, '', [
          file('ping', 'x', 0o755),
          capability('ping', 'cap_net_raw+ep'),
        ]);
        const value = (await dumpSnapshot(store, base)).get('ping')?.xattrs[name];
        expect(value).toMatch(/^0[01]00000[23]/);
        const upper = await commitChanges(store, base, [mode('ping', 0o700), file('x', '')]);
        expect((await dumpSnapshot(store, upper)).get('ping')?.xattrs[name]).toBe(value);
      }),
    );

    test(
      'the root directory is 0755, and looks in a child as in its parent',
      withKind(async (store) => {
        const { snapshotter, work } = store;
        await withMounts(await snapshotter.prepare('a', ''), work, async ({ directory }) => {
          expect((await lstat(directory)).mode & 0o7777).toBe(0o755);
          await writeFile(path.join(directory, 'x'), '');
          await chmod(directory, 0o750);
          await utimes(directory, 1000, 1234.5);
        });
        await snapshotter.commit('c', 'a');
        for (const mounts of [
          await snapshotter.prepare('b', 'c'),
          await snapshotter.view('v', 'c'),
        ]) {
          await withMounts(mounts, work, async ({ dump }) => {
            const found = (await dump()).get('');
            expect(found?.mode).toBe(0o750);
            expect(found?.mtime).toBe(1_234_500_000_000n);
          });
        }
      }),
    );

    test(
      'a view cannot be written to',
      withKind(async (store) => {
        const { snapshotter, work } = store;
        const one = await commitChanges(store, '', [file('f', '')]);
        const two = await commitChanges(store, one, [file('g', '')]);
        for (const [key, parent] of [
          ['none', ''],
          ['one', one],
          ['two', two],
        ] as const) {
          const mounts = await snapshotter.view(key, parent);
          if (mounts[0]?.type === 'aufs') {
            expect(mounts[0].options.join()).not.toContain('=rw');
          } else {
            await withMounts(mounts, work, async ({ directory }) => {
              await expect(writeFile(path.join(directory, 'x'), '')).rejects.toMatchObject({
                code: 'EROFS',
              });
            });
          }
          await snapshotter.remove(key);
        }
      }),
    );

    test(
      'what is written to an active snapshot stays when it is mounted again, and concerns no other',
      withKind(async (store) => {
        const { snapshotter, work } = store;
        const base = await commitChanges(store, '', [file('f', 'base')]);
        const mounts = await snapshotter.prepare('a', base);
        await snapshotter.prepare('b', base);
        await withMounts(mounts, work, ({ directory }) =>
          apply(directory, [file('f', 'changed'), file('g', 'new')]),
        );
        const read = async (key: string) =>
          withMounts(await snapshotter.mounts(key), work, async ({ directory }) => ({
            names: (await readdir(directory)).sort(),
            f: await readFile(path.join(directory, 'f'), 'utf8'),
          }));
        expect(await read('a')).toEqual({ names: ['f', 'g'], f: 'changed' });
        expect(await read('b')).toEqual({ names: ['f'], f: 'base' });
        await snapshotter.view('v', base);
        expect(await read('v')).toEqual({ names: ['f'], f: 'base' });
      }),
    );

    test(
      'usage counts blocks and inodes, hard links once',
      withKind(async (store) => {
        const { snapshotter, work } = store;
        const mounts = await snapshotter.prepare('a', '');
        const empty = await snapshotter.usage('a');
        expect(empty.inodes).toBe(1);
        await withMounts(mounts, work, ({ directory }) =>
          apply(directory, [
            dir('d'),
            file('d/f', 'x'.repeat(100_000)),
            hardlink('d/f', 'd/g'),
            hardlink('d/f', 'h'),
          ]),
        );
        const usage = await snapshotter.usage('a');
        expect(usage.inodes).toBe(3);
        expect(usage.size - empty.size).toBeGreaterThanOrEqual(100_000);
        expect(usage.size - empty.size).toBeLessThan(150_000);
        await snapshotter.commit('c', 'a');
        expect(await snapshotter.usage('c')).toEqual(usage);
        expect((await snapshotter.stat('c')).usage).toEqual(usage);
        await snapshotter.view('v', 'c');
        expect(await snapshotter.usage('v')).toEqual({ size: 0, inodes: 0 });
      }),
    );

    test(
      'a chain of 128 layers',
      withKind(async (store) => {
        const layers = [
          [
            file('bottom', 'way at the bottom\n', 0o777),
            file('overwriteme', 'FIRST!\n', 0o777),
            dir('addhere'),
            dir('onlyme'),
            file('onlyme/bottom', 'bye!\n', 0o777),
          ],
        ];
        for (let i = 1; i < 128; i++) {
          layers.push([
            file('overwriteme', `${i} WAS HERE!\n`, 0o777),
            file(`addhere/file-${i}`, 'same\n', 0o755),
            remove('onlyme'),
            dir('onlyme'),
            file(`onlyme/file-${i}`, 'only me!\n', 0o777),
          ]);
        }
        expect(await compareChain(store, layers)).toEqual([]);
        // And one on top of all of them.
        const [name] = (await walked(store, 'name~=^layer-')).sort(
          (a, b) => Number(b.slice('layer-'.length)) - Number(a.slice('layer-'.length)),
        );
        const mounts = await store.snapshotter.prepare('top', name);
        await mkdir(path.join(store.work, 'x'));
        await withMounts(mounts, store.work, async ({ directory }) => {
          expect(await readdir(path.join(directory, 'onlyme'))).toEqual(['file-127']);
          expect(await readdir(path.join(directory, 'addhere'))).toHaveLength(127);
          await writeFile(path.join(directory, 'bottom'), 'on top');
        });
      }),
      120_000,
    );
  });
}
