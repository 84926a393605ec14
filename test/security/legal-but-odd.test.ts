// Input that looks wrong and is not: it must be accepted, and mean what a sequential apply makes of it. An unpacker that
// refuses these breaks images that exist.

import { describe, expect, it } from 'vitest';
import { expectSequential, listing, modelTree, unpackLayers } from '../support/image.js';
import type { LayerEntry } from '../support/layer-entry.js';
import {
  device,
  dir,
  fifo,
  file,
  gnuLong,
  hardlink,
  opaque,
  symlink,
  type TarItem,
  tar,
  whiteout,
} from '../support/tar-builder.js';
import { base256, octal } from '../support/tar-header.js';
import { paxHeader } from '../support/tar-pax.js';
import { compareTrees } from '../support/tree.js';

/** Accepted, and equal to the model; `contains` guards against both being wrong. */
function odd(name: string, layers: () => TarItem[][], contains: readonly string[]): void {
  it(name, async () => {
    const { tree } = await expectSequential(layers());
    expect(listing(tree)).toEqual(expect.arrayContaining([...contains]));
  });
}

/** Accepted as bytes, and equal to the model of `entries`. */
function oddBytes(name: string, bytes: () => Buffer, entries: readonly LayerEntry[]): void {
  it(name, async () => {
    const { tree } = await unpackLayers([bytes()]);
    expect(compareTrees(modelTree([entries as TarItem[]]), tree)).toEqual([]);
  });
}

describe('legal but odd: names', () => {
  odd('a leading slash', () => [[file('/a/b')]], ['a/b 0']);
  odd('many leading slashes', () => [[file('///a//b')]], ['a/b 0']);
  odd('./ in front', () => [[dir('./'), dir('./a'), file('./a/b')]], ['a/b 0']);
  odd('. in the middle', () => [[file('a/./b')]], ['a/b 0']);
  odd('.. that stays inside', () => [[file('a/../b'), file('c/d/../../e')]], ['b 0', 'e 0']);
  odd('.. that comes back to the root', () => [[dir('a/..', { mode: 0o700 })]], []);
  odd('a directory without a slash', () => [[dir('a'), file('a/b')]], ['a/', 'a/b 0']);
  odd('a file with a slash at the end', () => [[file('a/', 'x')]], ['a 1']);
  odd('a name of 255 bytes', () => [[file('x'.repeat(255))]], [`${'x'.repeat(255)} 0`]);
  odd('bytes that are not UTF-8', () => [[file(Buffer.from([0x61, 0xff, 0xc0, 0xaf]))]], [
    'a\xff\xc0\xaf 0',
  ]);
  odd('control characters and newlines', () => [[file('a\n\t\x01b')]], ['a\n\t\x01b 0']);
  odd('backslashes, colons, commas, quotes', () => [[file('a\\b:c,d"e\'')]], ['a\\b:c,d"e\' 0']);
  odd('spaces only', () => [[file('   ')]], ['    0']);
  odd(
    'names that are nearly whiteouts',
    () => [[file('.wh'), file('.whx'), file('x.wh.y'), dir('.w')]],
    ['.wh 0', '.whx 0', 'x.wh.y 0'],
  );
  odd('... as a name', () => [[file('.../....')]], ['.../.... 0']);
  odd('names with 300 directories', () => [[file(`${'d/'.repeat(300)}f`, 'deep')]], [
    `${'d/'.repeat(300)}f 4`,
  ]);
  odd(
    'a path longer than PATH_MAX',
    () => [
      [file(`${`${'d'.repeat(200)}/`.repeat(30)}f`, 'far')],
      [
        file(`${`${'d'.repeat(200)}/`.repeat(30)}g`, 'too'),
        whiteout(`${`${'d'.repeat(200)}/`.repeat(30)}f`),
      ],
    ],
    [`${`${'d'.repeat(200)}/`.repeat(30)}g 3`],
  );
  odd(
    'a file called tar, with the names of our own files',
    () => [[file('image.json'), file('.oci-unpack/lock'), file('layers/000/fs/x')]],
    ['image.json 0', '.oci-unpack/lock 0'],
  );
});

describe('legal but odd: links', () => {
  odd('an absolute symlink to nothing', () => [[symlink('a', '/no/such')]], ['a -> /no/such']);
  odd('a symlink that leads out', () => [[symlink('a', '../../../../etc/passwd')]], [
    'a -> ../../../../etc/passwd',
  ]);
  odd('a symlink to itself', () => [[symlink('a', 'a')]], ['a -> a']);
  odd('a symlink with a target of 4095 bytes', () => [[symlink('a', 'x'.repeat(4095))]], [
    `a -> ${'x'.repeat(4095)}`,
  ]);
  odd('a symlink target that is not UTF-8', () => [[symlink('a', Buffer.from([0xff, 0xfe]))]], [
    'a -> \xff\xfe',
  ]);
  odd('a hard link before its target', () => [[hardlink('a', 'b'), file('b', 'x')]], [
    'a 1',
    'b 1',
  ]);
  odd(
    'a hard link to a hard link before both',
    () => [[hardlink('a', 'b'), hardlink('b', 'c'), file('c', 'x')]],
    ['a 1', 'b 1', 'c 1'],
  );
  odd(
    'a hard link with a leading slash and dots',
    () => [[file('d/t', 'x'), hardlink('a', '/d/./t'), hardlink('b', './d/../d/t')]],
    ['a 1', 'b 1'],
  );
  odd(
    'hard links to a symlink, a device and a fifo',
    () => [
      [
        symlink('s', 'x'),
        device('c', 'char', 1, 3),
        fifo('p'),
        hardlink('s2', 's'),
        hardlink('c2', 'c'),
        hardlink('p2', 'p'),
      ],
    ],
    ['s2 -> x', 'c2 char', 'p2 fifo'],
  );
  odd(
    'a hard link with other metadata than its target',
    () => [[file('t', 'x', { mode: 0o600 }), hardlink('a', 't', { mode: 0o777, uid: 5 })]],
    ['a 1'],
  );
  odd(
    'a hard link that exists already',
    () => [[file('t'), hardlink('a', 't'), hardlink('a', 't')]],
    ['a 0'],
  );
  odd(
    '500 hard links of one file',
    () => [[file('t', 'x'), ...Array.from({ length: 500 }, (_, i) => hardlink(`l/${i}`, 't'))]],
    ['l/499 1'],
  );
  oddBytes(
    'a hard link with a body',
    () => tar([file('t', 'body'), hardlink('a', 't', { content: 'body' }), file('b')]),
    [file('t', 'body'), hardlink('a', 't'), file('b')],
  );
});

describe('legal but odd: order and repetition', () => {
  odd('the same file many times', () => [[file('a', '1'), file('a', '22'), file('a', '333')]], [
    'a 3',
  ]);
  odd(
    'the same directory many times',
    () => [[dir('a', { mode: 0o700 }), file('a/x'), dir('a', { mode: 0o711 })]],
    ['a/x 0'],
  );
  odd(
    'children before their directory',
    () => [[file('a/b/c'), dir('a/b', { mode: 0o700 }), dir('a', { mode: 0o710, mtime: 5n })]],
    ['a/b/c 0'],
  );
  odd('the root entry last', () => [[file('a'), dir('./', { mode: 0o711, mtime: 7n })]], ['a 0']);
  odd(
    'file, directory, symlink, device, fifo at one path',
    () => [
      [
        file('a'),
        dir('a'),
        symlink('a', 'x'),
        device('a', 'block', 7, 0),
        fifo('a'),
        file('a', 'end'),
      ],
    ],
    ['a 3'],
  );
  odd(
    'a full directory becomes a file, and a directory again',
    () => [[file('a/b/c'), file('a', 'x'), file('a/d')]],
    ['a/d 0'],
  );
  odd(
    'a directory of mode 0000 with files',
    () => [[dir('a', { mode: 0 }), file('a/b', 'x'), dir('a/c', { mode: 0 }), file('a/c/d')]],
    ['a/b 1', 'a/c/d 0'],
  );
  odd(
    'whiteouts of everything there is',
    () => [
      [file('a'), dir('b')],
      [whiteout('a'), whiteout('b'), whiteout('c')],
    ],
    [],
  );
  odd(
    'the same whiteout twice, once as a directory',
    () => [
      [file('a'), file('b')],
      [whiteout('a'), dir('.wh.a')],
    ],
    ['b 0'],
  );
  odd(
    'an opaque marker with content and an owner',
    () => [[file('a/x')], [file('a/.wh..wh..opq', 'content', { uid: 5 }), dir('a')]],
    ['a/'],
  );
  odd(
    'a whiteout of the longest name there is',
    () => [[file('n'.repeat(255)), file('a')], [whiteout('n'.repeat(255))]],
    ['a 0'],
  );
  odd('whiteouts in the bottom layer', () => [[whiteout('a'), opaque('b'), file('c')]], [
    'b/',
    'c 0',
  ]);
  odd(
    'aufs bookkeeping',
    () => [
      [
        dir('.wh..wh.orph'),
        file('.wh..wh.aufs'),
        dir('.wh..wh.plnk'),
        file('.wh..wh.plnk/1.2', 'xy'),
        hardlink('a', '.wh..wh.plnk/1.2'),
      ],
    ],
    ['a 2'],
  );
  odd(
    'aufs bookkeeping without an entry for its directory',
    () => [[file('.wh..wh.plnk/1.2', 'xy'), hardlink('a', '.wh..wh.plnk/1.2')]],
    ['a 2'],
  );
  odd('aufs bookkeeping that is no directory', () => [[file('.wh..wh.plnk', 'x'), file('a')]], [
    'a 0',
  ]);
  odd('an empty layer between two', () => [[file('a')], [], [file('b')]], ['a 0', 'b 0']);
  odd(
    'the same layer twice',
    () => [
      [file('a', 'x'), hardlink('b', 'a')],
      [file('a', 'x'), hardlink('b', 'a')],
    ],
    ['a 1', 'b 1'],
  );
});

describe('legal but odd: metadata', () => {
  odd(
    'all 12 bits of the mode',
    () => [[file('a', '', { mode: 0o7777 }), dir('d', { mode: 0o7777 }), file('d/x')]],
    ['a 0'],
  );
  odd(
    'the greatest owner there is',
    () => [[file('a', '', { uid: 4_294_967_294, gid: 4_294_967_294 })]],
    ['a 0'],
  );
  odd(
    'times before the epoch, with fractions',
    () => [[file('a', '', { mtime: -1n }), dir('d', { mtime: -86_400_000_000_001n })]],
    ['a 0'],
  );
  odd('a time in the year 2242', () => [[file('a', '', { mtime: 8_589_934_592_000_000_001n })]], [
    'a 0',
  ]);
  odd(
    'an xattr with an empty value, NULs, = and newlines',
    () => [[file('a', '', { xattrs: { 'user.empty': '', 'user.b': Buffer.from('a=b\n\0c\n') } })]],
    ['a 0'],
  );
  odd(
    'xattrs of a symlink that only files may have',
    () => [[symlink('a', 'b', { xattrs: { 'user.x': '1', 'trusted.y': '2' } })]],
    ['a -> b'],
  );
  odd(
    'a file whose mode allows nobody to read it',
    () => [[file('a', 'secret', { mode: 0 })], [hardlink('b', 'a')]],
    ['b 6'],
  );
  odd(
    'a setuid file with a capability',
    () => [
      [
        file('a', 'x', {
          mode: 0o4755,
          uid: 1000,
          xattrs: {
            'security.capability': Buffer.from('0100000200200000000000000000000000000000', 'hex'),
          },
        }),
      ],
    ],
    ['a 1'],
  );
});

describe('legal but odd: the tar', () => {
  const entries = [file('a', 'x'), dir('d'), file('d/b', 'yy')];

  oddBytes('no blocks of zeros at the end', () => tar(entries, { trailer: 0 }), entries);
  oddBytes('one block of zeros', () => tar(entries, { trailer: 1 }), entries);
  oddBytes('twenty blocks of zeros', () => tar(entries, { trailer: 20 }), entries);
  oddBytes(
    'garbage after the end',
    () => tar(entries, { after: Buffer.alloc(5000, 'x') }),
    entries,
  );
  oddBytes(
    'another tar after the end',
    () => tar(entries, { after: tar([file('hidden')]) }),
    entries,
  );
  oddBytes('a layer of zeros', () => Buffer.alloc(10_240), []);
  oddBytes(
    'no magic at all (v7)',
    () => tar(entries.map((entry) => ({ ...entry, style: 'v7' as const }))),
    entries,
  );
  oddBytes(
    'GNU headers',
    () => tar(entries.map((entry) => ({ ...entry, style: 'gnu' as const }))),
    entries,
  );
  oddBytes(
    'a name in the ustar prefix',
    () => tar([file(`${'p'.repeat(120)}/${'n'.repeat(90)}`, 'x', { style: 'ustar' })]),
    [file(`${'p'.repeat(120)}/${'n'.repeat(90)}`, 'x')],
  );
  oddBytes(
    'a name of exactly 100 bytes, without a NUL',
    () => tar([file('n'.repeat(100), 'x', { style: 'ustar' })]),
    [file('n'.repeat(100), 'x')],
  );
  oddBytes(
    'checksums of signed bytes',
    () => tar([file(Buffer.from('\xe9\xe8', 'latin1'), 'x', { checksum: 'signed' })]),
    [file(Buffer.from('\xe9\xe8', 'latin1'), 'x')],
  );
  oddBytes(
    'numbers with spaces in front and behind',
    () =>
      tar([file('a', 'x', { fields: { mode: '   644 ', uid: '     0 ', size: '          1 ' } })]),
    [file('a', 'x')],
  );
  oddBytes(
    'numbers that fill their field',
    () => tar([file('a', 'x', { fields: { mode: '00000644', size: '000000000001' } })]),
    [file('a', 'x')],
  );
  oddBytes(
    'an empty uid and mtime',
    () => tar([file('a', 'x', { fields: { uid: '', gid: '', mtime: '' } })]),
    [file('a', 'x', { mtime: 0n })],
  );
  oddBytes(
    'base-256 numbers',
    () =>
      tar([
        file('a', 'x', {
          fields: { uid: base256(70_000, 8), mtime: base256(-5, 12), size: base256(1, 12) },
        }),
      ]),
    [file('a', 'x', { uid: 70_000, mtime: -5_000_000_000n })],
  );
  oddBytes(
    'type flag NUL, with and without a slash',
    () =>
      tar([
        file('a', 'x', { fields: { typeflag: '\0' } }),
        file('d/', '', { mode: 0o755, fields: { typeflag: '\0' } }),
      ]),
    [file('a', 'x'), dir('d')],
  );
  oddBytes('type flag 7', () => tar([file('a', 'x', { fields: { typeflag: '7' } })]), [
    file('a', 'x'),
  ]);
  oddBytes(
    'global headers, replaced on the way',
    () =>
      tar([
        {
          global: [
            ['mtime', '5'],
            ['uid', '7'],
          ],
        },
        file('a'),
        { global: [['uid', '8']] },
        file('b', '', { pax: [['uid', '9']] }),
        file('c'),
      ]),
    [
      file('a', '', { uid: 7, mtime: 5_000_000_000n }),
      file('b', '', { uid: 9, mtime: 5_000_000_000n }),
      file('c', '', { uid: 8, mtime: 5_000_000_000n }),
    ],
  );
  oddBytes(
    'pax keywords that nobody knows',
    () =>
      tar([
        file('a', 'x', {
          pax: [
            ['VENDOR.thing', 'v'],
            ['comment', 'c'],
            ['atime', '1.5'],
            ['hdrcharset', 'BINARY'],
          ],
        }),
      ]),
    [file('a', 'x')],
  );
  oddBytes(
    'pax and GNU long name before one entry',
    () => tar([{ raw: gnuLong('L', 'long-one') }, file('short', 'x', { pax: [['mtime', '9']] })]),
    [file('long-one', 'x', { mtime: 9_000_000_000n })],
  );
  oddBytes(
    'an empty pax header',
    () => tar([{ raw: paxHeader(Buffer.alloc(0)) }, file('a', 'x')]),
    [file('a', 'x')],
  );
  oddBytes(
    'a pax global header as git makes it, and nothing else',
    () => tar([{ global: [['comment', '0123456789abcdef']] }]),
    [],
  );
  oddBytes(
    'devices with the numbers of a real /dev',
    () =>
      tar([
        device('null', 'char', 1, 3, { mode: 0o666 }),
        device('sda', 'block', 8, 0),
        device('big', 'char', 511, 1_048_575),
      ]),
    [
      device('null', 'char', 1, 3, { mode: 0o666 }),
      device('sda', 'block', 8, 0),
      device('big', 'char', 511, 1_048_575),
    ],
  );
  oddBytes(
    'a directory with a size',
    () => tar([dir('d', { fields: { size: octal(0, 12) } }), file('a')]),
    [dir('d'), file('a')],
  );
});

describe('legal but odd: sparse files', () => {
  const extents = [
    { offset: 0, data: Buffer.alloc(512, 1) },
    { offset: 5_000_000_000, data: Buffer.alloc(4096, 2) },
  ];
  for (const sparseForm of ['old-gnu', '0.0', '0.1', '1.0'] as const) {
    it(`more than 4 GiB, form ${sparseForm}, stays holes`, async () => {
      const entry = {
        type: 'file',
        path: 's',
        sparse: { size: 6_000_000_000, extents },
        sparseForm,
      } as const;
      const { tree } = await expectSequential([[entry, file('after', 'x')]]);
      expect(tree.get('s')?.size).toBe(6_000_000_000);
      expect(tree.get('s')?.blocks).toBeLessThan(100);
    });
  }

  odd(
    'nothing but a hole',
    () => [[{ type: 'file', path: 's', sparse: { size: 1 << 20, extents: [] } }]],
    ['s 1048576'],
  );
  odd(
    '100 pieces in extension blocks',
    () => [
      [
        {
          type: 'file',
          path: 's',
          sparseForm: 'old-gnu',
          sparse: {
            size: 2_000_000,
            extents: Array.from({ length: 100 }, (_, i) => ({
              offset: i * 8192,
              data: Buffer.alloc(600, i + 1),
            })),
          },
        },
        file('after'),
      ],
    ],
    ['s 2000000', 'after 0'],
  );
});
