// The store with real images: the mounted container equals what GNU tar makes of the layers, and Debian's runc runs it.
// Run by `npm run test:corpus -- DIR [WORK]`, as corpus.test.ts.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Mount, Store } from '../../src/index.js';
import { runCommand } from '../support/command.js';
import { withMount } from '../support/mount.js';
import { scratchRoot } from '../support/scratch.js';
import { compareTrees } from '../support/tree.js';
import { dumpTree } from '../support/tree-dump.js';

const run = promisify(execFile);
const corpus = process.env.CORPUS ?? '';
const sequentialTar = fileURLToPath(new URL('../support/sequential-tar.py', import.meta.url));
const images = ['debian-node', 'small-files', 'many-layers'].filter((name) =>
  existsSync(path.join(corpus, name, 'oci-layout')),
);
const timeout = 1_200_000;

describe.skipIf(corpus === '' || images.length === 0 || process.geteuid?.() !== 0)('store', () => {
  let work = '';
  beforeAll(async () => {
    const root = process.env.CORPUS_WORK ?? scratchRoot;
    await mkdir(root, { recursive: true });
    work = await mkdtemp(path.join(root, 'oci-unpack-store-'));
  });
  afterAll(() => rm(work, { recursive: true, force: true }), timeout);

  for (const image of images) {
    it(`${image}: its mount equals GNU tar`, { timeout }, async () => {
      const layout = path.join(corpus, image);
      const reference = path.join(work, 'reference');
      await run('python3', [sequentialTar, layout, reference]);
      const expected = await dumpTree(reference);
      await rm(reference, { recursive: true });
      const store = await Store.open(path.join(work, 'store'));
      const target = path.join(work, 'mounted');
      await mkdir(target);
      try {
        const { snapshot } = await store.import(`oci:${layout}`, { name: image });
        const [mount] = await store.snapshots.view('look', snapshot);
        // The inspector, which reads the tree, has a mount namespace of its own.
        const tree = await withMount(mount as Mount, target, () => dumpTree(target));
        await store.snapshots.remove('look');
        expect(expected.size).toBeGreaterThan(1000);
        expect(compareTrees(expected, tree, { ignorePath: (at) => at === '' })).toEqual([]);
      } finally {
        await store.close();
        await rm(target, { recursive: true });
      }
    });
  }

  it.skipIf(!images.includes('debian-node'))(
    'debian-node runs with runc',
    { timeout },
    async () => {
      const root = path.join(work, 'store');
      const importer = await Store.open(root);
      await importer.import(`oci:${path.join(corpus, 'debian-node')}`, { name: 'debian-node' });
      await importer.close();
      const inside = (...args: string[]) =>
        runCommand(['run', '--root', root, 'debian-node', ...args]);
      const node = await inside(
        'node',
        '-e',
        'console.log(process.pid, process.getuid(), "inside")',
      );
      expect(node).toMatchObject({ code: 0, stdout: '1 0 inside\n' });
      // By its file capability alone: user 1000 has none of its own.
      const ping = await runCommand([
        ...['run', '--root', root, '--user', '1000', 'debian-node'],
        ...['ping', '-c', '1', '127.0.0.1'],
      ]);
      expect(ping.stdout).toContain('1 received');
      expect((await inside('getcap', '/usr/bin/ping')).stdout).toContain('cap_net_raw');
      const kept = await runCommand([
        ...['run', '--root', root, '--keep', '--id', 'kept', 'debian-node'],
        ...['sh', '-c', 'echo written > /root/file; exit 4'],
      ]);
      expect(kept.code).toBe(4);
      const store = await Store.open(root);
      try {
        const { directory } = await store.snapshots.stat('default/kept');
        expect(await readFile(path.join(directory, 'fs/root/file'), 'utf8')).toBe('written\n');
        const before = (await readdir(path.join(root, 'snapshots'))).length;
        await store.containers.remove('kept');
        expect(existsSync(directory)).toBe(false);
        expect(await readdir(path.join(root, 'snapshots'))).toHaveLength(before - 1);
        expect(await readdir(path.join(root, 'bundles'))).toEqual([]);
        expect(store.containers.list()).toEqual([]);
        for (const { name } of store.images.list()) {
          store.images.remove(name);
        }
        await store.gc();
        expect(await readdir(path.join(root, 'snapshots'))).toEqual([]);
        expect(await readdir(path.join(root, 'blobs/sha256'))).toEqual([]);
      } finally {
        await store.close();
      }
    },
  );
});
