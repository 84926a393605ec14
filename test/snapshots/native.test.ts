import { execFile } from 'node:child_process';
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { apply, dir, fifo, file, hardlink, mode, owner, symlink } from '../support/changes.js';
import { isRoot, manyIDs } from '../support/ids.js';
import { withScratch } from '../support/scratch.js';
import { withMounts, withStore, withStoreAt } from '../support/snapshots.js';
import { compareTrees } from '../support/tree.js';
import { dumpTree } from '../support/tree-dump.js';
import { snapshotterSuite } from './suite.js';

const run = promisify(execFile);

describe.runIf(isRoot)('as root here', () => {
  snapshotterSuite('native');

  test.runIf(manyIDs)('a copy is exact', async () => {
    await withStore('native', async ({ snapshotter, work }) => {
      const mounts = await snapshotter.prepare('a', '');
      await withMounts(mounts, work, async ({ directory }) => {
        await apply(directory, [
          dir('d', 0o1777),
          file('d/f', 'content', 0o4755),
          hardlink('d/f', 'link'),
          symlink('d/s', '../nowhere'),
          fifo('pipe'),
          owner('d/s', 3, 4),
          owner('d', 5, 6),
          mode('d', 0o3751),
        ]);
        await run('mknod', [path.join(directory, 'null'), 'c', '1', '3']);
        await run('setcap', ['cap_net_raw+ep', path.join(directory, 'd/f')]);
        await writeFile(path.join(directory, 'sparse'), 'start');
        await truncate(path.join(directory, 'sparse'), 1 << 30);
      });
      await snapshotter.commit('c', 'a');
      await snapshotter.prepare('b', 'c');
      const [from, to] = [
        (await snapshotter.stat('c')).directory,
        (await snapshotter.stat('b')).directory,
      ];
      const copy = await dumpTree(path.join(to, 'fs'));
      expect(compareTrees(await dumpTree(path.join(from, 'fs')), copy)).toEqual([]);
      expect(copy.get('sparse')?.blocks).toBeLessThan(1000);
    });
  });

  test.runIf(manyIDs)('content is shared where the file system can (xfs)', async () => {
    await withScratch(async (scratch) => {
      const [image, at] = [path.join(scratch, 'image'), path.join(scratch, 'mounted')];
      await mkdir(at);
      await writeFile(image, '');
      await truncate(image, 400 << 20);
      await run('mkfs.xfs', ['-q', image]);
      await run('mount', ['-o', 'loop', image, at]);
      try {
        await withStoreAt(path.join(at, 'root'), 'native', scratch, async ({ snapshotter }) => {
          await snapshotter.prepare('a', '');
          const big = path.join((await snapshotter.stat('a')).directory, 'fs/big');
          await writeFile(big, Buffer.alloc(100 << 20, 'x'));
          await snapshotter.commit('c', 'a');
          const free = async () => Number((await run('stat', ['-f', '-c', '%a', at])).stdout);
          const before = await free();
          for (let i = 0; i < 5; i++) {
            await snapshotter.prepare(`copy-${i}`, 'c');
          }
          // Blocks of 4 KiB: five copies of 100 MiB would not even fit.
          expect(before - (await free())).toBeLessThan(1000);
          const copy = path.join((await snapshotter.stat('copy-4')).directory, 'fs/big');
          await writeFile(copy, 'changed', { flag: 'r+' });
          expect((await readFile(big)).subarray(0, 8).toString()).toBe('xxxxxxxx');
          expect((await readFile(copy)).subarray(0, 8).toString()).toBe('changedx');
        });
      } finally {
        await run('umount', [at]);
      }
    });
  });
});

test("the mounts are containerd's", async () => {
  await withStore('native', async ({ snapshotter }) => {
    const fs = async (key: string) => path.join((await snapshotter.stat(key)).directory, 'fs');
    const bind = async (key: string, access: string) => [
      { type: 'bind', source: await fs(key), options: [access, 'rbind'] },
    ];
    expect(await snapshotter.prepare('a', '')).toEqual(await bind('a', 'rw'));
    expect(await snapshotter.view('v0', '')).toEqual(await bind('v0', 'ro'));
    await snapshotter.commit('c', 'a');
    expect(await snapshotter.prepare('b', 'c')).toEqual(await bind('b', 'rw'));
    expect(await snapshotter.view('v', 'c')).toEqual(await bind('c', 'ro'));
    expect(snapshotter).toMatchObject({ format: 'flat', flat: true });
  });
});
