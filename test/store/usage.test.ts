// What a snapshot takes is counted while its layer is written: it must be what walking the tree says.

import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { SnapshotInfo, SnapshotterKind, Store } from '../../src/index.js';
import { loadBinding } from '../../src/native/index.js';
import { generateImage } from '../support/generate.js';
import { withStore } from '../support/store.js';
import {
  device,
  dir,
  fifo,
  file,
  hardlink,
  opaque,
  symlink,
  type TarItem,
  whiteout,
} from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const isRoot = process.geteuid?.() === 0;

const layers: readonly (readonly TarItem[])[] = [
  [
    file('no/directory/says/so', 'x'),
    dir('many'),
    ...Array.from({ length: 300 }, (_, number) => file(`many/${'n'.repeat(90)}-${number}`, 'y')),
    file('large', Buffer.alloc(900_000, 'large')),
    {
      type: 'file',
      path: 'sparse',
      sparse: { size: 1 << 20, extents: [{ offset: 4096, data: Buffer.from('d') }] },
    },
    file('empty'),
    file('attributes', 'a', { mode: 0o4755, uid: 5, xattrs: { 'user.note': 'v'.repeat(3000) } }),
    symlink('short', 'empty'),
    symlink('long', 'l'.repeat(3000)),
    hardlink('second', 'large'),
    device('null', 'char', 1, 3),
    fifo('fifo'),
    dir('gone'),
    file('gone/x', 'x'),
  ],
  [hardlink('third', 'attributes'), whiteout('gone'), opaque('many'), file('many/z', 'z')],
];

/** Every snapshot of the store, and what walking its tree says. */
async function compareAll(store: Store): Promise<number> {
  const infos: SnapshotInfo[] = [];
  await store.snapshots.walk((info) => {
    infos.push(info);
  });
  for (const { name, directory, usage } of infos) {
    const options = { directory: path.join(directory, 'fs'), threads: 1 };
    const { bytes, inodes } = await loadBinding().diskUsage(options);
    expect({ name, usage }).toEqual({ name, usage: { size: bytes, inodes } });
  }
  return infos.length;
}

describe.skipIf(!isRoot)('usage', () => {
  for (const kind of ['overlayfs', 'aufs', 'native'] as const satisfies SnapshotterKind[]) {
    it(`is that of all kinds of entries, ${kind}`, async () => {
      await withStore(
        async (store, scratch) => {
          const reference = await writeImage(path.join(scratch, 'layout'), layers);
          const walks = vi.spyOn(loadBinding(), 'diskUsage');
          await store.import(reference, { name: 'test:1' });
          expect(walks).toHaveBeenCalledTimes(kind === 'native' ? layers.length : 0);
          walks.mockRestore();
          expect(await compareAll(store)).toBe(layers.length);
        },
        { kind },
      );
    });
  }

  it('is measured where something that was written is removed again', async () => {
    await withStore(async (store, scratch) => {
      const twice = [file('a', 'x'.repeat(10_000)), dir('a'), file('a/b', 'y')];
      const reference = await writeImage(path.join(scratch, 'layout'), [twice]);
      const walks = vi.spyOn(loadBinding(), 'diskUsage');
      await store.import(reference, { name: 'test:1' });
      expect(walks).toHaveBeenCalledTimes(1);
      walks.mockRestore();
      expect(await compareAll(store)).toBe(1);
    });
  });

  it('is that of random layers', async () => {
    await withStore(async (store, scratch) => {
      for (let seed = 1; seed <= 40; seed++) {
        const image = generateImage(seed);
        const reference = await writeImage(path.join(scratch, `layout-${seed}`), image.layers);
        await store.import(reference, { name: `test:${seed}` });
      }
      expect(await compareAll(store)).toBeGreaterThan(60);
    });
  });
});
