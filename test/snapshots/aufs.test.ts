import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { mountAll } from '../../src/snapshots/index.js';
import { isRoot } from '../support/ids.js';
import { withStore } from '../support/snapshots.js';
import { snapshotterSuite } from './suite.js';

const hasAufs = readFileSync('/proc/filesystems', 'utf8').includes('aufs');

describe.runIf(isRoot)('as root here', () => {
  snapshotterSuite('aufs');
});

test("the mounts are containerd's", async () => {
  await withStore('aufs', async ({ snapshotter, work }) => {
    const fs = async (key: string) => path.join((await snapshotter.stat(key)).directory, 'fs');
    expect(await snapshotter.prepare('a1', '')).toEqual([
      { type: 'bind', source: await fs('a1'), options: ['rw', 'rbind'] },
    ]);
    expect(await snapshotter.view('v0', '')).toEqual([
      { type: 'bind', source: await fs('v0'), options: ['ro', 'rbind'] },
    ]);
    await snapshotter.commit('c1', 'a1');
    expect(await snapshotter.view('v1', 'c1')).toEqual([
      { type: 'bind', source: await fs('c1'), options: ['ro', 'rbind'] },
    ]);
    const always = ['dio', 'xino=/dev/shm/aufs.xino', 'dirperm1'];
    const aufs = (branches: string) => [
      { type: 'aufs', source: 'none', options: [...always, `br:${branches}`] },
    ];
    const mounts = await snapshotter.prepare('a2', 'c1');
    expect(mounts).toEqual(aufs(`${await fs('a2')}=rw:${await fs('c1')}=ro+wh`));
    await snapshotter.commit('c2', 'a2');
    expect(await snapshotter.view('v2', 'c2')).toEqual(
      aufs(`${await fs('c2')}=ro+wh:${await fs('c1')}=ro+wh`),
    );
    expect(snapshotter).toMatchObject({ format: 'aufs', flat: false });
    if (!hasAufs) {
      await expect(mountAll(mounts, work)).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' });
    }
  });
});
