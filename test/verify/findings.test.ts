// Differences as the addon tells them, and what they are called: each damage once, by its right name, and nothing that
// another one explains.

import { describe, expect, it } from 'vitest';
import { findingsOf } from '../../src/verify/findings.js';
import { signaturesOf } from '../../src/verify/signatures.js';
import type { Difference, EntryFacts, Finding } from '../../src/verify/types.js';

const audited = {
  layer: 1,
  chainID: 'sha256:chain',
  snapshot: 'sha256:chain',
  directory: '/store/snapshots/2/fs',
  format: 'overlay',
} as const;

function facts(type: EntryFacts['type'], more: Partial<EntryFacts> = {}): EntryFacts {
  const plain = { mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 100, mtimeNanoseconds: 0, size: 0 };
  return { type, ...plain, xattrs: {}, ...more };
}

/** `fields` of an entry that `expected` and `found` make differ. */
function changed(
  path: string,
  expected: EntryFacts,
  found: Partial<EntryFacts>,
  ...fields: string[]
): Difference {
  return { path, expected, found: { ...expected, ...found }, fields };
}

function named(...differences: Difference[]): string[] {
  return findingsOf(differences, audited).map(({ kind, path, below }) =>
    below === undefined ? `${kind} ${path}` : `${kind} ${path} +${below}`,
  );
}

const directory = facts('directory', { mode: 0o755 });
const file = facts('file', { size: 10 });
const opaqueXattr = 'trusted.overlay.opaque';

describe('findings', () => {
  it('a missing directory stands for all that was in it', () => {
    const missing = (path: string, expected: EntryFacts): Difference => ({
      path,
      expected,
      found: null,
      fields: [],
    });
    expect(
      named(
        changed('', directory, { mtimeSeconds: 200 }, 'mtime'),
        missing('a', directory),
        missing('a/b', directory),
        missing('a/b/c', file),
        missing('a-x', file),
      ),
    ).toEqual(['missing-entry a +2', 'missing-entry a-x']);
  });

  it("a directory's time is explained by the names that came or went in it, not by those further below", () => {
    const extra: Difference = { path: 'd/e/new', expected: null, found: file, fields: [] };
    expect(
      named(
        changed('d', directory, { mtimeSeconds: 5 }, 'mtime'),
        changed('d/e', directory, { mtimeSeconds: 5 }, 'mtime'),
        extra,
      ),
    ).toEqual(['changed-time d', 'extra-entry d/e/new']);
  });

  it('metadata explains no time', () => {
    expect(
      named(
        changed('d', directory, { mtimeSeconds: 5 }, 'mtime'),
        changed('d/f', file, { mode: 0o600 }, 'mode'),
      ),
    ).toEqual(['changed-time d', 'changed-mode d/f']);
  });

  it('a file of another size is one finding, and so is one of other content', () => {
    expect(
      named(
        changed('a', file, { size: 0, mtimeSeconds: 5 }, 'size', 'mtime'),
        changed('b', file, { size: 9, mtimeSeconds: 5 }, 'size', 'content', 'mtime'),
        changed('c', file, { mtimeSeconds: 5 }, 'content', 'mtime'),
      ),
    ).toEqual(['zero-length a', 'changed-size b', 'changed-content c']);
  });

  it('of another type, nothing else is told', () => {
    const link = facts('symlink', { target: 'x' });
    const tty = facts('char', { device: '5:0' });
    expect(
      named(
        { path: 'a', expected: directory, found: link, fields: ['type'] },
        { path: 'a/b', expected: file, found: null, fields: [] },
        { path: 'c', expected: file, found: directory, fields: ['type'] },
        { path: 'c/d', expected: null, found: file, fields: [] },
        { path: 'tty', expected: tty, found: file, fields: ['type'] },
        { path: 'w', expected: facts('whiteout'), found: facts('file'), fields: ['type'] },
        { path: 'x', expected: facts('whiteout'), found: directory, fields: ['type'] },
        { path: 'y', expected: file, found: facts('whiteout'), fields: ['type'] },
      ),
    ).toEqual([
      'changed-type a +1',
      'changed-type c +1',
      'device-became-file tty',
      'device-became-file w',
      'lost-whiteout x',
      'stray-whiteout y',
    ]);
  });

  it('whiteouts that are missing, and that nobody made', () => {
    expect(
      named(
        { path: 'a', expected: facts('whiteout'), found: null, fields: [] },
        { path: 'b', expected: null, found: facts('whiteout'), fields: [] },
        {
          path: 'c',
          expected: null,
          found: facts('file', { xattrs: { 'user.overlay.whiteout': '' } }),
          fields: [],
        },
      ),
    ).toEqual(['lost-whiteout a', 'stray-whiteout b', 'foreign-marker c']);
  });

  it('opaque directories: leaked, lost, and in the other namespace', () => {
    const opaque = { xattrs: { [opaqueXattr]: 'eQ==' }, opaque: true } as const;
    const other = { xattrs: { 'user.overlay.opaque': 'eQ==' }, opaque: undefined };
    expect(
      named(
        changed('a', directory, opaque, `xattr:${opaqueXattr}`),
        changed(
          'b',
          { ...directory, ...opaque },
          { xattrs: {}, opaque: undefined },
          `xattr:${opaqueXattr}`,
        ),
        changed(
          'c',
          { ...directory, ...opaque },
          other,
          `xattr:${opaqueXattr}`,
          'xattr:user.overlay.opaque',
        ),
        changed('d', directory, other, 'xattr:user.overlay.opaque'),
        changed(
          'e',
          directory,
          { xattrs: { 'user.overlay.overlay.opaque': 'eQ==' } },
          'xattr:user.overlay.overlay.opaque',
        ),
      ),
    ).toEqual([
      'leaked-opaque a',
      'lost-opaque b',
      'foreign-marker c',
      'foreign-marker d',
      'extra-xattr e',
    ]);
  });

  it('xattrs and capabilities', () => {
    const tool = facts('file', { xattrs: { 'security.capability': 'AQ==', 'user.a': 'YQ==' } });
    expect(
      named(
        changed('a', tool, { xattrs: { 'user.a': 'YQ==' } }, 'xattr:security.capability'),
        changed('b', tool, { xattrs: { 'security.capability': 'AQ==' } }, 'xattr:user.a'),
        changed('c', tool, { xattrs: { ...tool.xattrs, 'user.a': 'Yg==' } }, 'xattr:user.a'),
        changed('d', tool, { xattrs: { ...tool.xattrs, 'user.b': 'Yg==' } }, 'xattr:user.b'),
      ),
    ).toEqual(['lost-capability a', 'lost-xattr b', 'changed-xattr c', 'extra-xattr d']);
  });
});

describe('signatures', () => {
  const finding = (kind: Finding['kind'], path: string, more: Partial<Finding> = {}): Finding => {
    const { layer, chainID, snapshot, directory: at } = audited;
    const base = { kind, path, layer, chainID, snapshot, directory: at, detail: '' };
    return { ...base, expected: null, found: null, ...more };
  };
  const told = (...findings: Finding[]) =>
    signaturesOf(findings, undefined).map(({ id, findings: count }) => `${id} ${count}`);

  it('each finding has one', () => {
    expect(
      told(
        finding('leaked-opaque', 'etc'),
        finding('lost-whiteout', 'a'),
        finding('lost-opaque', 'b'),
        finding('zero-length', 'c'),
        finding('changed-content', 'd', { zeroTail: 4096 }),
        finding('changed-content', 'e'),
        finding('extra-entry', 'f'),
        finding('foreign-marker', 'g'),
        finding('missing-entry', 'h'),
      ),
    ).toEqual([
      'opaque-copy-up 1',
      'lost-whiteouts 2',
      'power-loss 2',
      'wrong-namespace 1',
      'tampering 2',
      'unknown 1',
    ]);
  });

  it('a leaked opaque is the kernel bug only where nothing else is wrong, and something lies below', () => {
    const leak = finding('leaked-opaque', 'etc');
    expect(told(leak, finding('changed-mode', 'etc'))).toEqual(['tampering 2']);
    // A bottom layer has nothing that could be copied up.
    expect(signaturesOf([leak], null).map(({ id }) => id)).toEqual(['tampering']);
  });
});
