// The part of the suite about keys, parents, labels and walking.

import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { SnapshotInfo, SnapshotterKind } from '../../src/snapshots/index.js';
import { apply, dir, file, remove } from '../support/changes.js';
import {
  commitChanges,
  dumpSnapshot,
  type TestStore,
  withMounts,
  withStore,
} from '../support/snapshots.js';

const root = { 'containerd.io/gc.root': '2026-11-24T00:00:00Z' };

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

/** Describes the part for one kind. */
export function recordsSuite(kind: SnapshotterKind): void {
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
}
