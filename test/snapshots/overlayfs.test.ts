import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { inUserNamespace, mountAll, type SnapshotInfo } from '../../src/snapshots/index.js';
import { isRoot } from '../support/ids.js';
import { withStore } from '../support/snapshots.js';
import { snapshotterSuite } from './suite.js';

const run = promisify(execFile);
const repository = fileURLToPath(new URL('../..', import.meta.url));
const nested = inUserNamespace();

describe.runIf(isRoot)('as root here', () => {
  snapshotterSuite('overlayfs');
});

test("the mounts are containerd's", async () => {
  for (const userxattr of [false, true]) {
    const work = async ({ snapshotter }: Parameters<Parameters<typeof withStore>[1]>[0]) => {
      const fs = (info: SnapshotInfo) => path.join(info.directory, 'fs');
      const always = userxattr ? ['userxattr', 'index=off'] : ['index=off'];
      const base = await snapshotter.prepare('a1', '');
      const one = await snapshotter.stat('a1');
      expect(base).toEqual([{ type: 'bind', source: fs(one), options: ['rw', 'rbind'] }]);
      const view = await snapshotter.view('v0', '');
      expect(view).toEqual([
        { type: 'bind', source: fs(await snapshotter.stat('v0')), options: ['ro', 'rbind'] },
      ]);
      await snapshotter.commit('c1', 'a1');
      expect(await snapshotter.view('v1', 'c1')).toEqual([
        { type: 'bind', source: fs(one), options: ['ro', 'rbind'] },
      ]);
      const mounts = await snapshotter.prepare('a2', 'c1');
      const two = await snapshotter.stat('a2');
      expect(mounts).toEqual([
        {
          type: 'overlay',
          source: 'overlay',
          options: [
            `workdir=${path.join(two.directory, 'work')}`,
            `upperdir=${fs(two)}`,
            `lowerdir=${fs(one)}`,
            ...always,
          ],
        },
      ]);
      await snapshotter.commit('c2', 'a2');
      expect(await snapshotter.view('v2', 'c2')).toEqual([
        {
          type: 'overlay',
          source: 'overlay',
          options: [`lowerdir=${fs(two)}:${fs(one)}`, ...always],
        },
      ]);
      expect(path.basename(path.dirname(two.directory))).toBe('snapshots');
      expect(path.basename(two.directory)).toBe('4');
      expect(snapshotter.format).toBe(userxattr ? 'overlay-userxattr' : 'overlay');
    };
    await withStore('overlayfs', work, { userxattr });
  }
});

test('a mount that fails leaves nothing mounted', async () => {
  await withStore('overlayfs', async ({ snapshotter, work }) => {
    const mounts = await snapshotter.prepare('a', '');
    const bad = { type: 'bind' as const, source: path.join(work, 'none'), options: ['rbind'] };
    await expect(mountAll([...mounts, bad], work)).rejects.toMatchObject({ code: 'ERR_MOUNT' });
    const { stdout } = await run('cat', ['/proc/self/mounts']);
    expect(stdout).not.toContain(work);
  });
});

// The whole suite once more, where trusted.* is out of reach and overlayfs must be told to use user.*.
test.skipIf(nested || !existsSync('/usr/bin/unshare'))(
  'the suite in a user namespace',
  async () => {
    const vitest = path.join(repository, 'node_modules/vitest/vitest.mjs');
    const files = ['overlayfs', 'native', 'layers'].map((name) => `test/snapshots/${name}.test.ts`);
    const args = ['run', ...files, '--reporter=json'];
    const { stdout } = await run(
      'unshare',
      ['--user', '--map-root-user', '--mount', process.execPath, vitest, ...args],
      { cwd: repository, maxBuffer: 1 << 26, env: { ...process.env, NO_COLOR: '1' } },
    ).catch((error: { stdout: string; stderr: string; message: string }) => {
      throw new Error(`${error.message}\n${error.stdout}\n${error.stderr}`);
    });
    const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
      numPassedTests: number;
      numFailedTests: number;
    };
    expect(report.numFailedTests).toBe(0);
    expect(report.numPassedTests).toBeGreaterThan(65);
  },
  120_000,
);
