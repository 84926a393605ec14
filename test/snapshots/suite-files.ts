// The part of the suite about what is seen through the mounts.

import { chmod, lstat, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { SnapshotterKind } from '../../src/snapshots/index.js';
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
import { manyIDs } from '../support/ids.js';
import {
  commitChanges,
  compareChain,
  dumpSnapshot,
  type TestStore,
  withMounts,
  withStore,
} from '../support/snapshots.js';

/** Describes the part for one kind. */
export function filesSuite(kind: SnapshotterKind): void {
  const withKind = (work: (store: TestStore) => Promise<void>) => () => withStore(kind, work);

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
        const names = new Set<string>();
        await store.snapshotter.walk(({ name }) => void names.add(name));
        await store.snapshotter.walk(({ parent }) => void names.delete(parent ?? ''));
        expect(names.size).toBe(1);
        const mounts = await store.snapshotter.prepare('top', [...names][0]);
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
