// The model of sequential apply, checked by hand: each rule once, with the result written out.

import { describe, expect, it } from 'vitest';
import type { LayerEntry } from '../support/layer-entry.js';
import { Model, ModelError, type ModelOptions, sequentialApply } from '../support/model.js';
import { device, dir, file, hardlink, opaque, symlink, whiteout } from '../support/tar-builder.js';

/** `path type` for each path but the root; a symlink with its target, a file with its size. */
function listing(layers: LayerEntry[][], options?: ModelOptions): string[] {
  return [...sequentialApply(layers, options).tree().values()]
    .filter(({ path }) => path !== '')
    .map(({ path, type, target, size }) =>
      type === 'symlink'
        ? `${path} -> ${target}`
        : type === 'directory'
          ? `${path}/`
          : `${path} ${size ?? type}`,
    )
    .sort();
}

function refusal(layers: LayerEntry[][], options?: ModelOptions): string | undefined {
  try {
    sequentialApply(layers, options);
    return undefined;
  } catch (error) {
    return error instanceof ModelError ? error.code : String(error);
  }
}

describe('model: whiteouts', () => {
  const lower = [dir('a'), file('a/x', '1'), file('b', '22')];

  it('a whiteout hides the lower name only, before or after an entry of that name', () => {
    expect(listing([lower, [whiteout('a'), file('a/y', '333')]])).toEqual(['a/', 'a/y 3', 'b 2']);
    expect(listing([lower, [file('a/y', '333'), whiteout('a')]])).toEqual(['a/', 'a/y 3', 'b 2']);
    expect(listing([lower, [file('b', '1'), whiteout('b')]])).toEqual(['a/', 'a/x 1', 'b 1']);
  });

  it('makes its missing parents, and nothing else', () => {
    expect(listing([lower, [whiteout('p/q/r')]])).toEqual(['a/', 'a/x 1', 'b 2', 'p/', 'p/q/']);
    expect(listing([lower, [whiteout('b/r')]])).toEqual(['a/', 'a/x 1', 'b/']);
  });

  it('drops a whiteout below another, which makes nothing', () => {
    expect(listing([lower, [whiteout('a'), whiteout('a/x')]])).toEqual(['b 2']);
    expect(listing([lower, [whiteout('a/x'), whiteout('a')]])).toEqual(['b 2']);
  });

  it('an opaque directory keeps what its layer has', () => {
    expect(listing([lower, [file('a/y'), opaque('a')]])).toEqual(['a/', 'a/y 0', 'b 2']);
    expect(listing([lower, [opaque('')]])).toEqual([]);
    expect(listing([lower, [opaque('new')]])).toEqual(['a/', 'a/x 1', 'b 2', 'new/']);
  });

  it('follows symlinks of the lower layers', () => {
    const linked = [dir('usr/lib'), file('usr/lib/x'), symlink('lib', 'usr/lib')];
    expect(listing([linked, [whiteout('lib/x')]])).toEqual(['lib -> usr/lib', 'usr/', 'usr/lib/']);
    expect(listing([linked, [opaque('lib')]])).toEqual(['lib -> usr/lib', 'usr/', 'usr/lib/']);
  });

  it('a directory of its own is not looked for behind a lower symlink', () => {
    const linked = [file('usr/lib/x'), symlink('lib', 'usr/lib')];
    const expected = ['lib/', 'usr/', 'usr/lib/', 'usr/lib/x 0'];
    expect(listing([linked, [dir('lib'), opaque('lib')]])).toEqual(expected);
    expect(listing([linked, [opaque('lib'), dir('lib')]])).toEqual(expected);
    expect(listing([linked, [dir('lib'), whiteout('lib/x')]])).toEqual(expected);
  });

  it('refuses the ones that name nothing, and takes a device 0:0 for one when told', () => {
    for (const name of ['.wh.', '.wh..', 'a/.wh...']) {
      expect(refusal([lower, [file(name)]]), name).toBe('ERR_INVALID_ENTRY');
    }
    expect(refusal([lower, [device('b', 'char', 0, 0)]])).toBe('ERR_DEVICE');
    const accept = { deviceWhiteouts: 'accept' } as const;
    expect(listing([lower, [device('b', 'char', 0, 0)]], accept)).toEqual(['a/', 'a/x 1']);
  });
});

describe('model: paths', () => {
  const linked = [
    dir('usr/lib', { mode: 0o700 }),
    symlink('lib', 'usr/lib'),
    symlink('up', '../../usr'),
  ];

  it('an entry below a lower symlink lands where it points', () => {
    const layers = [linked, [file('lib/x'), file('up/y')]];
    expect(listing(layers)).toContain('usr/lib/x 0');
    expect(listing(layers)).toContain('usr/y 0');
  });

  it('policies replace and error', () => {
    const layers = [linked, [file('lib/x')]];
    expect(listing(layers, { symlinkParents: 'replace' })).toContain('lib/x 0');
    expect(refusal(layers, { symlinkParents: 'error' })).toBe('ERR_SYMLINK_PARENT');
  });

  it('an explicit directory replaces the symlink', () => {
    expect(listing([linked, [dir('lib'), file('lib/x')]])).toContain('lib/x 0');
  });

  it('a dangling symlink is followed, and its target made', () => {
    expect(listing([[symlink('d', 'no/where')], [file('d/x')]])).toEqual([
      'd -> no/where',
      'no/',
      'no/where/',
      'no/where/x 0',
    ]);
    expect(refusal([[symlink('a', 'b'), symlink('b', 'a')], [file('a/x')]])).toBe(
      'ERR_INVALID_ENTRY',
    );
  });

  it('spellings of one path are one path; what leaves the root is refused', () => {
    expect(listing([[file('./a//b/../c'), file('/a/./d')]])).toEqual(['a/', 'a/c 0', 'a/d 0']);
    expect(refusal([[file('../x')]])).toBe('ERR_INVALID_ENTRY');
    expect(refusal([[file('a/../../x')]])).toBe('ERR_INVALID_ENTRY');
    expect(refusal([[file('')]])).toBe('ERR_INVALID_ENTRY');
    expect(refusal([[file('.')]])).toBe('ERR_INVALID_ENTRY');
  });

  it('implicit parents take what is there, else 0755 0:0 from the epoch', () => {
    const tree = sequentialApply([linked, [file('usr/lib/x'), file('new/x')]]).tree();
    expect(tree.get('usr/lib')).toMatchObject({ mode: 0o700, mtime: 1_600_000_000_000_000_000n });
    expect(tree.get('new')).toMatchObject({ mode: 0o755, uid: 0, gid: 0, mtime: 0n });
    expect(tree.get('')).toMatchObject({ mode: 0o755, mtime: 0n });
  });

  it('the root entry sets the metadata of the root', () => {
    const tree = sequentialApply([[dir('./', { mode: 0o700, uid: 5 })], [file('x')]]).tree();
    expect(tree.get('')).toMatchObject({ mode: 0o700, uid: 5 });
  });
});

describe('model: hard links', () => {
  const groups = (layers: LayerEntry[][]): string[] => {
    const found = new Map<string, string[]>();
    for (const { path, type, inode, layer } of sequentialApply(layers).tree().values()) {
      if (type !== 'directory') {
        const key = `${inode} ${layer}`;
        found.set(key, [...(found.get(key) ?? []), path].sort());
      }
    }
    return [...found.values()].filter((group) => group.length > 1).map((group) => group.join('='));
  };

  it('within a layer, before and after the target', () => {
    expect(groups([[file('t'), hardlink('a', 't'), hardlink('b', '/t')]])).toEqual(['a=b=t']);
    expect(groups([[hardlink('a', 'b'), hardlink('b', 't'), file('t')]])).toEqual(['a=b=t']);
  });

  it('across layers, the target then belongs to the upper one', () => {
    const lower = [file('t'), hardlink('u', 't'), hardlink('v', 't')];
    expect(groups([lower, [hardlink('a', 't')]])).toEqual(['a=t', 'u=v']);
    expect(groups([lower, [hardlink('a', 't'), hardlink('b', 'u')]])).toEqual(['a=b=t=u']);
  });

  it('keeps the content it was linked to when the target is replaced', () => {
    const layers = [[file('t', '1')], [hardlink('a', 't'), file('t', '22')]];
    expect(listing(layers)).toEqual(['a 1', 't 2']);
    expect(groups(layers)).toEqual([]);
  });

  it('a later entry replaces a link that is still waiting', () => {
    expect(listing([[hardlink('a', 'nothing'), file('a', '1')]])).toEqual(['a 1']);
  });

  it('refuses what cannot be', () => {
    expect(refusal([[hardlink('a', 'nothing')]])).toBe('ERR_LINK_TARGET');
    expect(refusal([[hardlink('a', 'a')]])).toBe('ERR_INVALID_ENTRY');
    expect(refusal([[dir('d'), hardlink('a', 'd')]])).toBe('ERR_INVALID_ENTRY');
    expect(refusal([[file('t')], [whiteout('t'), hardlink('a', 't')]])).toBe('ERR_LINK_TARGET');
    expect(refusal([[file('d/t'), hardlink('d', 'd/t')]])).toBe('ERR_LINK_TARGET');
  });

  it('aufs pseudo links are resolved and not shown', () => {
    const layer = [
      dir('.wh..wh.plnk'),
      file('.wh..wh.plnk/1.2', '12'),
      hardlink('a', '.wh..wh.plnk/1.2'),
    ];
    expect(listing([[...layer, hardlink('b', '.wh..wh.plnk/1.2')]])).toEqual(['a 2', 'b 2']);
  });
});

describe('model: type changes and metadata', () => {
  it('anything over anything else: removed, then created', () => {
    expect(listing([[file('a/b/c'), file('a', '1')]])).toEqual(['a 1']);
    expect(listing([[file('a', '1'), file('a/b', '1')]])).toEqual(['a/', 'a/b 1']);
    expect(listing([[file('a/b')], [file('a'), dir('a'), file('a/c')]])).toEqual(['a/', 'a/c 0']);
    expect(listing([[dir('d'), symlink('s', 'd')], [file('s', '1')]])).toEqual(['d/', 's 1']);
  });

  it('a directory over a directory merges; its metadata is replaced, xattrs too', () => {
    const layers = [
      [dir('a', { xattrs: { 'user.x': '1' } }), file('a/b')],
      [dir('a', { mode: 0o700 })],
    ];
    expect(listing(layers)).toEqual(['a/', 'a/b 0']);
    expect(sequentialApply(layers).tree().get('a')).toMatchObject({ mode: 0o700, xattrs: {} });
  });

  it('shows overlay xattrs as each kind of mount does', () => {
    const model = new Model();
    const xattrs = { 'trusted.overlay.opaque': 'y', 'user.overlay.x': '', 'user.y': '' };
    model.apply([file('a', '', { xattrs }), symlink('s', 'a', { xattrs })]);
    const namesIn = (format: 'overlay' | 'overlay-userxattr' | 'flat', path: string): string[] =>
      Object.keys(model.tree(format).get(path)?.xattrs ?? {}).sort();
    expect(namesIn('overlay', 'a')).toEqual([
      'trusted.overlay.opaque',
      'user.overlay.overlay.x',
      'user.y',
    ]);
    expect(namesIn('overlay-userxattr', 'a')).toEqual([
      'trusted.overlay.overlay.opaque',
      'user.overlay.x',
      'user.y',
    ]);
    expect(namesIn('flat', 'a')).toEqual([
      'trusted.overlay.overlay.opaque',
      'user.overlay.overlay.x',
      'user.y',
    ]);
    expect(namesIn('overlay', 's')).toEqual(['trusted.overlay.opaque']);
  });
});
