// The table of SEMANTICS.md, "The one rule", row by row: the places where today's unpackers differ from a sequential
// apply. Each result is written out, and compared with the model as well.

import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { UnpackImageOptions } from '../../src/index.js';
import { expectRefused, expectSequential, listing, unpack } from '../support/image.js';
import { withScratch } from '../support/scratch.js';
import {
  dir,
  file,
  hardlink,
  opaque,
  symlink,
  type TarItem,
  whiteout,
} from '../support/tar-builder.js';
import type { Tree } from '../support/tree.js';
import { dumpTree } from '../support/tree-dump.js';
import { writeImage } from '../support/write-image.js';

const lower = [dir('foo', { mode: 0o711 }), file('foo/old', 'old'), file('bar', 'bar')];

async function result(
  layers: readonly (readonly TarItem[])[],
  options?: UnpackImageOptions,
): Promise<string[]> {
  return listing((await expectSequential(layers, options)).tree);
}

/** What lies in the topmost snapshot itself. */
async function topLayer(layers: readonly (readonly TarItem[])[]): Promise<Tree> {
  return withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), layers);
    const report = await unpack(reference, path.join(scratch, 'image'));
    return dumpTree(path.join(report.destination, report.layers.at(-1)?.path ?? ''));
  });
}

const opaqueMark = { 'trusted.overlay.opaque': Buffer.from('y').toString('hex') };

describe('row 1: a whiteout, then the directory again', () => {
  it('.wh.foo, then foo/', async () => {
    expect(await result([lower, [whiteout('foo'), dir('foo')]])).toEqual(['bar 3', 'foo/']);
  });
  it('.wh.foo, then foo/x without an entry for foo/', async () => {
    expect(await result([lower, [whiteout('foo'), file('foo/x')]])).toEqual([
      'bar 3',
      'foo/',
      'foo/x 0',
    ]);
  });
  it('the snapshot has an opaque directory', async () => {
    const top = await topLayer([lower, [whiteout('foo'), dir('foo')]]);
    expect(top.get('foo')?.xattrs).toEqual(opaqueMark);
  });
});

describe('row 2: the entry, then its whiteout', () => {
  it('a file stays', async () => {
    expect(await result([lower, [file('bar', '1'), whiteout('bar')]])).toEqual([
      'bar 1',
      'foo/',
      'foo/old 3',
    ]);
  });
  it('a file below a whited-out directory stays', async () => {
    expect(await result([lower, [file('foo/x'), whiteout('foo')]])).toEqual([
      'bar 3',
      'foo/',
      'foo/x 0',
    ]);
  });
  it('a directory becomes opaque', async () => {
    expect(await result([lower, [dir('foo'), whiteout('foo')]])).toEqual(['bar 3', 'foo/']);
    const top = await topLayer([lower, [dir('foo'), whiteout('foo')]]);
    expect(top.get('foo')?.xattrs).toEqual(opaqueMark);
  });
  it('a hard link and a symlink stay', async () => {
    const layer = [
      hardlink('bar', 'new'),
      file('new', '1'),
      whiteout('bar'),
      symlink('foo', 'x'),
      whiteout('foo'),
    ];
    expect(await result([lower, layer])).toEqual(['bar 1', 'foo -> x', 'new 1']);
  });
});

describe('row 3: whiteouts inside an opaque directory', () => {
  it('are dropped, in either order', async () => {
    for (const layer of [
      [opaque('foo'), whiteout('foo/old')],
      [whiteout('foo/old'), opaque('foo')],
    ]) {
      expect(await result([lower, layer])).toEqual(['bar 3', 'foo/']);
      expect([...(await topLayer([lower, layer])).keys()]).toEqual(['', 'foo']);
    }
  });
});

describe('row 4: a whiteout below a whited-out name', () => {
  it('is dropped, in either order', async () => {
    for (const layer of [
      [whiteout('foo'), whiteout('foo/old')],
      [whiteout('foo/old'), whiteout('foo')],
    ]) {
      expect(await result([lower, layer])).toEqual(['bar 3']);
    }
  });
});

describe('row 5: parents that are symlinks in a lower layer', () => {
  const linked = [dir('usr/lib', { mode: 0o750 }), file('usr/lib/old'), symlink('lib', 'usr/lib')];

  it('follow: the file lands where the symlink points', async () => {
    const { tree, report } = await expectSequential([linked, [file('lib/x', '1')]]);
    expect(listing(tree)).toEqual([
      'lib -> usr/lib',
      'usr/',
      'usr/lib/',
      'usr/lib/old 0',
      'usr/lib/x 1',
    ]);
    expect(report.warnings.map(({ kind }) => kind)).toContain('symlink-parent');
  });
  it('replace: a directory takes its place', async () => {
    const options = { policies: { symlinkParents: 'replace' } } as const;
    expect(await result([linked, [file('lib/x', '1')]], options)).toEqual([
      'lib/',
      'lib/x 1',
      'usr/',
      'usr/lib/',
      'usr/lib/old 0',
    ]);
  });
  it('error: the layer is refused', async () => {
    const options = { policies: { symlinkParents: 'error' } } as const;
    const error = await expectRefused(
      [linked, [file('lib/x', '1')]],
      'ERR_SYMLINK_PARENT',
      options,
    );
    expect(error.message).toContain('lib');
  });
  it('an explicit directory replaces the symlink', async () => {
    expect(await result([linked, [dir('lib'), file('lib/x')]])).toContain('lib/x 0');
  });
  it('an explicit directory that comes after its first entry does so too, for what comes then', async () => {
    const listed = await result([linked, [file('lib/x'), dir('lib'), file('lib/y')]]);
    expect(listed).toEqual(expect.arrayContaining(['usr/lib/x 0', 'lib/', 'lib/y 0']));
  });
  it('a chain of symlinks, absolute and with ..', async () => {
    const chain = [
      dir('real/deep'),
      symlink('one', '/two'),
      symlink('two', 'a/../real/x/../deep/../deep'),
    ];
    expect(await result([chain, [file('one/x')]])).toContain('real/deep/x 0');
  });
  it('a symlink two layers down, beyond a layer that says nothing of it', async () => {
    expect(await result([linked, [file('other')], [file('lib/x')]])).toContain('usr/lib/x 0');
  });
  it('a symlink that a layer between has replaced is not followed', async () => {
    expect(await result([linked, [whiteout('lib'), dir('lib')], [file('lib/x')]])).toContain(
      'lib/x 0',
    );
  });
  it('a symlink that this layer whites out is not followed', async () => {
    expect(await result([linked, [file('lib/x'), whiteout('lib')]])).toContain('lib/x 0');
  });
  it('a symlink of this very layer is followed', async () => {
    expect(await result([[dir('d'), symlink('s', 'd'), file('s/x')]])).toEqual([
      'd/',
      'd/x 0',
      's -> d',
    ]);
  });
  it('whiteouts and opaque markers follow', async () => {
    expect(await result([linked, [whiteout('lib/old')]])).toEqual([
      'lib -> usr/lib',
      'usr/',
      'usr/lib/',
    ]);
    expect(await result([linked, [opaque('lib')]])).toEqual(['lib -> usr/lib', 'usr/', 'usr/lib/']);
  });
  it('markers below a directory of the layer itself do not', async () => {
    for (const layer of [
      [dir('lib'), opaque('lib'), file('lib/x')],
      [opaque('lib'), dir('lib'), file('lib/x')],
      [dir('lib'), whiteout('lib/old'), file('lib/x')],
    ]) {
      expect(await result([linked, layer])).toEqual([
        'lib/',
        'lib/x 0',
        'usr/',
        'usr/lib/',
        'usr/lib/old 0',
      ]);
    }
  });
  it('a directory takes the place of the symlink that led to it', async () => {
    const layer = [dir('c/c'), file('c/x'), file('c/y')];
    expect(await result([[symlink('c', '.')], layer])).toEqual(['c/', 'c/x 0', 'c/y 0']);
  });
  it('directories, symlinks, hard links and devices below it follow', async () => {
    const layer = [
      dir('lib/d'),
      symlink('lib/s', 'x'),
      hardlink('lib/h', 'lib/old'),
      hardlink('h2', 'lib/old'),
      { type: 'fifo', path: 'lib/p' } as const,
    ];
    expect(await result([linked, layer])).toEqual(
      expect.arrayContaining([
        'usr/lib/d/',
        'usr/lib/s -> x',
        'usr/lib/h 0',
        'h2 0',
        'usr/lib/p fifo',
      ]),
    );
  });
});

describe('row 6: hard links into lower layers', () => {
  const target = file('t', 'content', {
    mode: 0o4751,
    uid: 7,
    gid: 8,
    mtime: 1_234_567_890_123_456_789n,
    xattrs: {
      'user.note': 'kept',
      'security.capability': Buffer.from('0100000200200000000000000000000000000000', 'hex'),
    },
  });

  it('the target is copied up with all it has', async () => {
    const { tree, report } = await expectSequential([[target], [hardlink('a/link', 't')]]);
    expect(tree.get('a/link')).toMatchObject({
      mode: 0o4751,
      uid: 7,
      gid: 8,
      mtime: 1_234_567_890_123_456_789n,
    });
    expect(tree.get('a/link')?.inode).toBe(tree.get('t')?.inode);
    expect(report.warnings.map(({ kind }) => kind)).toContain('hardlink-copied-up');
  });
  it('from two layers down, through a symlink', async () => {
    const layers = [[file('d/t', '1')], [symlink('s', 'd')], [hardlink('link', '/s/t')]];
    expect(await result(layers)).toContain('link 1');
  });
  it('several links to one target, and to names that were links below', async () => {
    const below = [file('t', '1'), hardlink('u', 't')];
    const { tree } = await expectSequential([
      below,
      [hardlink('a', 't'), hardlink('b', 'u'), hardlink('c', 'a')],
    ]);
    const inodes = ['a', 'b', 'c', 't', 'u'].map((name) => tree.get(name)?.inode);
    expect(new Set(inodes).size).toBe(1);
  });
  it('symlinks, devices and fifos can be linked to as well', async () => {
    const below: TarItem[] = [
      symlink('s', 'x'),
      { type: 'char', path: 'c', major: 1, minor: 3 },
      { type: 'fifo', path: 'p' },
    ];
    await expectSequential([
      below,
      [hardlink('s2', 's'), hardlink('c2', 'c'), hardlink('p2', 'p')],
    ]);
  });
  it('the target keeps its old content for the link when the layer replaces it', async () => {
    const layers = [[file('t', 'old')], [hardlink('link', 't'), file('t', 'new!')]];
    expect(await result(layers)).toEqual(['link 3', 't 4']);
  });
  it('a target that this layer whites out is gone', async () => {
    await expectRefused([[file('t')], [whiteout('t'), hardlink('link', 't')]], 'ERR_LINK_TARGET');
  });
  it('a sparse target stays sparse', async () => {
    const sparse = {
      size: 50_000_000,
      extents: [{ offset: 40_000_000, data: Buffer.alloc(4096, 1) }],
    };
    const { tree } = await expectSequential([
      [{ type: 'file', path: 't', sparse }],
      [hardlink('link', 't')],
    ]);
    expect(tree.get('link')?.blocks).toBeLessThan(1000);
  });
});

describe('row 7: parents that the layer does not name', () => {
  const parent = dir('foo', {
    mode: 0o2711,
    uid: 5,
    gid: 6,
    mtime: 987_654_321_000_000_001n,
    xattrs: { 'user.note': 'n' },
  });

  it('have what the lower layers show: owner, mode, xattrs and mtime', async () => {
    const { tree } = await expectSequential([[parent], [file('foo/x')]]);
    expect(tree.get('foo')).toMatchObject({
      mode: 0o2711,
      uid: 5,
      gid: 6,
      mtime: 987_654_321_000_000_001n,
    });
    expect(tree.get('foo')?.xattrs).toEqual({ 'user.note': '6e' });
  });
  it('of the topmost layer that names them', async () => {
    const layers = [[parent], [dir('foo', { mode: 0o700 })], [file('foo/x')], [file('foo/y')]];
    expect((await expectSequential(layers)).tree.get('foo')).toMatchObject({ mode: 0o700, uid: 0 });
  });
  it('are 0755 0:0 where there is none, and do not inherit a setgid parent', async () => {
    const { tree } = await expectSequential([[parent], [file('foo/new/x'), file('other/x')]]);
    expect(tree.get('foo/new')).toMatchObject({ mode: 0o755, uid: 0, gid: 0, mtime: 0n });
    expect(tree.get('other')).toMatchObject({ mode: 0o755, uid: 0, gid: 0 });
    expect(tree.get('foo/new/x')).toMatchObject({ gid: 0 });
  });
  it('are new where the lower directory is whited out', async () => {
    const { tree } = await expectSequential([[parent], [whiteout('foo'), file('foo/x')]]);
    expect(tree.get('foo')).toMatchObject({ mode: 0o755, uid: 0, gid: 0 });
  });
  it('keep their attributes where the lower directory is made opaque', async () => {
    const { tree } = await expectSequential([
      [parent, file('foo/old')],
      [opaque('foo'), file('foo/x')],
    ]);
    expect(tree.get('foo')).toMatchObject({ mode: 0o2711, uid: 5 });
  });
  it('replace what is not a directory', async () => {
    expect(await result([[file('foo', '1')], [file('foo/x')]])).toEqual(['foo/', 'foo/x 0']);
  });
  it('of whiteouts alone likewise', async () => {
    const { tree } = await expectSequential([[parent, file('foo/old')], [whiteout('foo/old')]]);
    expect(tree.get('foo')).toMatchObject({ mode: 0o2711, uid: 5 });
  });
});

describe('row 8: the root entry', () => {
  it.each(['./', '.', '/', './.'])('%s sets the metadata of the root', async (name) => {
    const root = dir(name, {
      mode: 0o1750,
      uid: 3,
      gid: 4,
      mtime: 5_000_000_006n,
      xattrs: { 'user.r': '1' },
    });
    const { tree } = await expectSequential([[file('x')], [root, file('y')], [file('z')]]);
    expect(tree.get('')).toMatchObject({ mode: 0o1750, uid: 3, gid: 4, mtime: 5_000_000_006n });
  });
});

describe('row 9: an opaque root', () => {
  it('hides all that lies below', async () => {
    expect(await result([lower, [opaque(''), file('new')]])).toEqual(['new 0']);
    expect(await result([lower, [file('foo/x'), opaque(''), file('bar', '1')]])).toEqual([
      'bar 1',
      'foo/',
      'foo/x 0',
    ]);
  });
  it('is written as whiteouts, and opaque on the directories that the layer has', async () => {
    const top = await topLayer([lower, [opaque(''), file('foo/x')]]);
    expect(top.get('bar')).toMatchObject({ type: 'char', rdev: '0:0' });
    expect(top.get('foo')?.xattrs).toEqual(opaqueMark);
    expect(top.get('')?.xattrs).toEqual({});
  });
});

describe('row 10: a path that is first something else and then a directory', () => {
  it.each([
    ['file', file('foo')],
    ['symlink', symlink('foo', 'bar')],
    ['fifo', { type: 'fifo', path: 'foo' } as const],
    ['hard link', hardlink('foo', 'bar')],
  ])('%s', async (_, other) => {
    expect(await result([lower, [other, dir('foo'), file('foo/x')]])).toEqual([
      'bar 3',
      'foo/',
      'foo/x 0',
    ]);
  });
  it('also when the directory is only implied', async () => {
    expect(await result([lower, [file('foo'), file('foo/x')]])).toEqual([
      'bar 3',
      'foo/',
      'foo/x 0',
    ]);
  });
  it('also when a directory above it was replaced', async () => {
    const below = [file('a/b/old')];
    expect(await result([below, [file('a'), file('a/b/new')]])).toEqual([
      'a/',
      'a/b/',
      'a/b/new 0',
    ]);
  });
});

describe('row 11: whiteouts of names that no lower layer shows', () => {
  it('are dropped', async () => {
    for (const layer of [[whiteout('nothing')], [dir('own'), whiteout('own/nothing')]]) {
      const top = await topLayer([lower, layer]);
      expect([...top.values()].filter(({ type }) => type === 'char')).toEqual([]);
      await expectSequential([lower, layer]);
    }
  });
  it('also of a name that a layer between has removed', async () => {
    const layers = [lower, [whiteout('foo')], [whiteout('foo'), file('bar', '1')]];
    expect([...(await topLayer(layers)).keys()]).toEqual(['', 'bar']);
    expect(await result(layers)).toEqual(['bar 1']);
  });
  it('in the bottom layer', async () => {
    expect(await result([[whiteout('x'), whiteout('d/y'), opaque('o')]])).toEqual(['d/', 'o/']);
  });
});
