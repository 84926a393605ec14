// A dry chain of layers gives the trees of a real one, and what a real one wrote is what both say: for random images,
// and for one of each thing that a layer can hold. 60 seeds; SEEDS=1000 runs more.

import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadBinding } from '../../../src/native/index.js';
import { describeImage, type GeneratedImage, generateImage } from '../../support/generate.js';
import { withScratch } from '../../support/scratch.js';
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
} from '../../support/tar-builder.js';
import {
  audit,
  type ChainOptions,
  type Format,
  planChain,
  unpackChain,
  writeBlobs,
} from '../../support/tree-chain.js';

const root = process.getuid?.() === 0;
if (!root) {
  console.log('skipped: audits of what a layer can hold: needs root');
}
const seeds = Number(process.env.SEEDS ?? 60);
const formats: Format[] = ['overlay', 'overlay-userxattr', 'aufs', 'flat'];

/** Of each seed, for all formats. */
const images = new Map<number, GeneratedImage>();

function imageOf(seed: number): GeneratedImage {
  const image = images.get(seed) ?? generateImage(seed);
  images.set(seed, image);
  return image;
}

/** What is not as it should be, in words; the images have no other way to be told apart. */
async function problemsOf(
  layers: readonly (readonly TarItem[])[],
  options: ChainOptions,
): Promise<string[]> {
  return withScratch(async (scratch) => {
    const problems: string[] = [];
    const blobs = await writeBlobs(path.join(scratch, 'blobs'), layers);
    const real = await unpackChain(path.join(scratch, 'real'), blobs, options);
    const dry = await planChain(path.join(scratch, 'dry'), blobs, options);
    for (const [i, layer] of real.entries()) {
      const planned = dry[i];
      if (planned === undefined || !planned.index.equals(layer.index)) {
        problems.push(`layer ${i}: the dry tree is another`);
        continue;
      }
      if (planned.replanned !== layer.replanned) {
        problems.push(`layer ${i}: read another number of times`);
      }
      // A flat directory is all layers' at the end only.
      if (options.format === 'flat' && i + 1 < real.length) {
        continue;
      }
      for (const { tree } of [layer, planned]) {
        const result = await audit(tree, layer.directory ?? '', options);
        problems.push(
          ...result.differences.map((difference) => `layer ${i}: ${JSON.stringify(difference)}`),
        );
        if (result.unchecked > 0) {
          problems.push(`layer ${i}: ${result.unchecked} files have no checksum`);
        }
      }
    }
    return problems;
  });
}

describe.skipIf(!root)('what was unpacked is as the trees say', () => {
  for (const format of formats) {
    it(`random images, format ${format}`, { timeout: 60_000 + seeds * 1000 }, async () => {
      for (let seed = 1; seed <= seeds; seed++) {
        const concurrency = [0, 1, 8][seed % 3] ?? 0;
        const image = imageOf(seed);
        const problems = await problemsOf(image.layers, { format, concurrency });
        expect(problems, describeImage(image)).toEqual([]);
      }
    });
  }

  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
  // The third version, for root of the first user namespace: the kernel gives it back as the second.
  const rootCapability = Buffer.from('010000030020000000000000000000000000000000000000', 'hex');
  const everything: TarItem[][] = [
    [
      dir('./', { mode: 0o750 }),
      dir('bin', { mode: 0o2775, gid: 50 }),
      file('bin/su', 'set-uid', { mode: 0o4755 }),
      file('bin/ping', 'ping', { xattrs: { 'security.capability': capability } }),
      file('bin/ping3', 'ping', { xattrs: { 'security.capability': rootCapability } }),
      file('acl', 'acl', {
        mode: 0o640,
        pax: [['SCHILY.acl.access', 'user::rw-,user:7:rwx,group::r--,mask::rwx,other::---']],
      }),
      file('minimal-acl', '', {
        mode: 0o640,
        pax: [['SCHILY.acl.access', 'user::rw-,group::r--,other::---']],
      }),
      dir('acl-dir', {
        mode: 0o750,
        pax: [
          ['SCHILY.acl.access', 'user::rwx,user:7:r-x,group::r-x,mask::r-x,other::---'],
          ['SCHILY.acl.default', 'user::rwx,group::r-x,other::---'],
        ],
      }),
      file('acl-dir/inside', 'x'),
      file('empty', ''),
      file('big', Buffer.alloc(700_000, 'big')),
      file('old', 'x', { mtime: -86_400_000_000_001n }),
      file('labelled', 'x', { xattrs: { 'user.note': 'a\0b=c', 'security.selinux': 'label' } }),
      file('escaped', 'x', { xattrs: { 'trusted.overlay.redirect': '/x' } }),
      dir('escaped-dir', { xattrs: { 'user.overlay.opaque': 'y', 'trusted.overlay.opaque': 'y' } }),
      symlink('link', 'bin/su', { uid: 1000, xattrs: { 'user.never': 'kept' } }),
      hardlink('second', 'big'),
      hardlink('bin/third', 'big'),
      device('null', 'char', 1, 3, { mode: 0o666 }),
      device('disk', 'block', 8, 1),
      fifo('fifo', { mode: 0o600 }),
      file('implied/deep/file', 'x'),
      ...(['old-gnu', '0.0', '0.1', '1.0'] as const).map((sparseForm) => ({
        type: 'file' as const,
        path: `sparse-${sparseForm}`,
        sparse: {
          size: 3_000_000,
          extents: [
            { offset: 4096, data: Buffer.alloc(1024, 1) },
            { offset: 1_048_576, data: Buffer.alloc(512, 2) },
          ],
        },
        sparseForm,
      })),
      file(Buffer.from([0x6e, 0xff, 0xfe]), 'not UTF-8'),
      dir('gone'),
      file('gone/file', 'x'),
      dir('hidden'),
      file('hidden/below', 'x'),
      dir('usr/lib'),
      symlink('lib', 'usr/lib'),
    ],
    [
      whiteout('gone'),
      opaque('hidden'),
      file('hidden/above', 'y'),
      hardlink('copied-up', 'big'),
      hardlink('bin/copied-up', 'sparse-1.0'),
      hardlink('copied-link', 'link'),
      hardlink('copied-fifo', 'fifo'),
      file('implied/more', 'x'),
      file('lib/through-a-symlink', 'x'),
      file('replaced', 'x'),
      dir('replaced'),
      whiteout('implied/deep/file'),
    ],
    [hardlink('again', 'copied-up'), hardlink('once-more', 'again'), file('copied-link', 'x')],
    [opaque(''), file('only', 'x'), dir('bin')],
  ];
  const concurrencies = [0, 1, 8];
  for (const format of formats) {
    it.each(concurrencies)(`one of each, format ${format}, concurrency %i`, async (concurrency) => {
      for (let count = 1; count <= everything.length; count++) {
        const layers = everything.slice(0, count);
        expect(await problemsOf(layers, { format, concurrency })).toEqual([]);
      }
    });
  }

  it('under other policies', async () => {
    const uidMap = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
    const policies = { ownership: 'map', uidMap, gidMap: uidMap, overlayXattrs: 'strip' } as const;
    expect(await problemsOf(everything, { format: 'overlay', policies })).toEqual([]);
    const ignore = { ownership: 'ignore', symlinkParents: 'replace' } as const;
    expect(await problemsOf(everything, { format: 'overlay', policies: ignore })).toEqual([]);
  });

  it('files of many slabs, and copied up from a tree without checksums', async () => {
    await withScratch(async (scratch) => {
      const noise = Buffer.alloc(70 * 2 ** 20);
      for (let at = 0; at < noise.length; at += 4) {
        noise.writeUInt32LE(Math.imul(at + 1, 2_654_435_761) >>> 0, at);
      }
      const layers = [[file('small', 'x')], [file('noise', noise)]]; // the second is not compressed
      expect(await problemsOf(layers, { format: 'overlay', concurrency: 8 })).toEqual([]);
      // An existing directory has a tree without checksums: what is copied from it is summed up then.
      const blobs = await writeBlobs(path.join(scratch, 'blobs'), layers);
      const [, base] = await unpackChain(path.join(scratch, 'base'), blobs, { format: 'overlay' });
      const binding = loadBinding();
      const scanned = await binding.scanTree(base?.directory ?? '');
      const [linking = ''] = await writeBlobs(path.join(scratch, 'more'), [
        [hardlink('copy', 'noise')],
      ]);
      const target = path.join(scratch, 'target');
      const [layer] = await unpackChain(target, [linking], { format: 'overlay' }, scanned);
      const result = await audit(layer?.tree as never, layer?.directory ?? '', {
        format: 'overlay',
      });
      expect(result).toMatchObject({ differences: [], unchecked: 0, bytes: noise.length });
    });
  });
});
