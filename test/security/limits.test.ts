// Bombs: every limit of SEMANTICS.md has a layer that trips it, and one just below it.

import { describe, expect, it } from 'vitest';
import type { Limits } from '../../src/index.js';
import { expectRefused, unpackLayers } from '../support/image.js';
import { dir, file, gnuLong, symlink, type TarItem, tar } from '../support/tar-builder.js';

/** `over` must trip the limit, `under` must not. */
function limited(
  name: string,
  limits: Limits,
  under: () => TarItem[],
  over: () => TarItem[],
): void {
  describe(name, () => {
    it('just below is accepted', async () => {
      const { tree } = await unpackLayers([under()], { limits });
      expect(tree.size).toBeGreaterThan(1);
    });
    it('beyond is refused, naming the limit', async () => {
      const [limit] = Object.keys(limits);
      const error = await expectRefused([over()], 'ERR_LIMIT_EXCEEDED', { limits });
      expect(error.message).toContain(limit);
    });
  });
}

const files = (count: number): TarItem[] => Array.from({ length: count }, (_, i) => file(`f${i}`));

limited(
  'entries',
  { maxEntries: 10 },
  () => files(10),
  () => files(11),
);

limited(
  'entries that are not files',
  { maxEntries: 10 },
  () => Array.from({ length: 10 }, () => dir('d')),
  () => Array.from({ length: 11 }, () => dir('d')),
);

limited(
  'uncompressed bytes',
  { maxBytes: tar([file('a', Buffer.alloc(100_000))]).length },
  () => [file('a', Buffer.alloc(100_000))],
  () => [file('a', Buffer.alloc(100_001 + 512))],
);

limited(
  'path depth through a symlink',
  { maxPathDepth: 10 },
  () => [symlink('s', 'a/'.repeat(9)), file('s/f')],
  () => [symlink('s', 'a/'.repeat(11)), file('s/f')],
);

limited(
  'path bytes',
  { maxPathBytes: 500 },
  () => [file(`${`${'x'.repeat(99)}/`.repeat(4)}${'y'.repeat(100)}`)],
  () => [file(`${`${'x'.repeat(99)}/`.repeat(4)}${'y'.repeat(101)}`)],
);

limited(
  'bytes of a link target',
  { maxPathBytes: 500 },
  () => [symlink('s', 'x'.repeat(500))],
  () => [symlink('s', 'x'.repeat(501))],
);

limited(
  'path depth',
  { maxPathDepth: 20 },
  () => [file(`${'d/'.repeat(19)}f`)],
  () => [file(`${'d/'.repeat(20)}f`)],
);

const pad = (bytes: number): TarItem[] => [
  file('a', '', { pax: [['comment', 'x'.repeat(bytes)]] }),
];
limited(
  'pax header bytes',
  { maxPaxBytes: 10_000 },
  () => pad(9_980),
  () => pad(10_000),
);

limited(
  'GNU long name bytes',
  { maxPaxBytes: 2_000 },
  () => [{ raw: gnuLong('L', `${'x'.repeat(99)}/`.repeat(19)) }, file('a')],
  () => [{ raw: gnuLong('L', `${'x'.repeat(99)}/`.repeat(21)) }, file('a')],
);

limited(
  'global pax header bytes',
  { maxPaxBytes: 2_000 },
  () => [{ global: [['comment', 'x'.repeat(1_900)]] }, file('a')],
  () => [{ global: [['comment', 'x'.repeat(2_001)]] }, file('a')],
);

const attributes = (bytes: number): TarItem[] => [
  file('a', '', {
    xattrs: { 'user.a': 'x'.repeat(bytes / 2 - 6), 'user.b': 'x'.repeat(bytes / 2 - 6) },
  }),
];
limited(
  'xattr bytes',
  { maxXattrBytes: 1_000 },
  () => attributes(1_000),
  () => attributes(1_002),
);

const globals = (count: number): TarItem[] => [
  { global: Array.from({ length: count }, (_, i) => [`SCHILY.xattr.user.${i}`, '1']) },
  file('a'),
];
limited(
  'xattrs of global headers',
  { maxGlobalXattrs: 3 },
  () => globals(3),
  () => globals(4),
);

const pieces = (count: number, sparseForm: 'old-gnu' | '0.0' | '0.1' | '1.0'): TarItem[] => [
  {
    type: 'file',
    path: 's',
    sparseForm,
    sparse: {
      size: count * 1024,
      extents: Array.from({ length: count }, (_, i) => ({
        offset: i * 1024 + 512,
        data: Buffer.alloc(512, 1),
      })),
    },
  },
];
for (const form of ['old-gnu', '0.0', '0.1', '1.0'] as const) {
  limited(
    `sparse map entries, form ${form}`,
    { maxSparseEntries: 50 },
    () => pieces(50, form),
    () => pieces(51, form),
  );
}

describe('ratio', () => {
  const zeros = (megabytes: number): TarItem[] => [file('zeros', Buffer.alloc(megabytes << 20))];

  it('is looked at only beyond 64 MiB', async () => {
    await unpackLayers([[file('x')], zeros(32)], { limits: { maxRatio: 10 } });
  });
  it('beyond, a bomb is refused', async () => {
    await expectRefused([[file('x')], zeros(80)], 'ERR_LIMIT_EXCEEDED', {
      limits: { maxRatio: 100 },
    });
  });
  it('just below is accepted', async () => {
    await unpackLayers([[file('x')], zeros(80)], { limits: { maxRatio: 1200 } });
  });
  it('does not matter to a layer that is not compressed', async () => {
    await unpackLayers([zeros(80)], { limits: { maxRatio: 1.5 } });
  });
});

describe('claims are not believed', () => {
  it('a file of 8 EiB in its header', async () => {
    const layer = tar([
      file('a', '', { fields: { size: Buffer.from('807fffffffffffffffffffff', 'hex') } }),
    ]);
    await expectRefused([layer], await codeOf(layer));
  });
  it('a sparse file whose pieces lie beyond 8 EiB', async () => {
    const pax: [string, string][] = [
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.name', 's'],
      ['GNU.sparse.realsize', '9223372036854775807'],
    ];
    const map = Buffer.alloc(512);
    map.write('1\n9223372036854775000\n4096\n');
    const layer = tar([file('x', Buffer.concat([map, Buffer.alloc(4096)]), { pax })]);
    await expectRefused([layer], await codeOf(layer));
  });
  it('a sparse map that promises a thousand million pieces', async () => {
    const pax: [string, string][] = [
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.name', 's'],
      ['GNU.sparse.realsize', '10'],
    ];
    const map = Buffer.alloc(512);
    map.write('1000000000\n0\n1\n');
    await expectRefused([tar([file('x', map, { pax })])], 'ERR_LIMIT_EXCEEDED');
  });
  it('an old GNU map that goes on for ever', async () => {
    const byte = Buffer.alloc(1);
    const head: TarItem = {
      type: 'file',
      path: 's',
      sparseForm: 'old-gnu',
      sparse: {
        size: 1537,
        extents: [0, 512, 1024, 1536].map((offset) => ({ offset, data: byte })),
      },
      fields: { gnuIsExtended: Buffer.from([1]) },
    };
    const layer = (map: (extent: number) => [number, number]): Buffer => {
      const blocks = Array.from({ length: 3000 }, (_, i) => {
        const block = Buffer.alloc(512);
        for (let k = 0; k < 21; k++) {
          const [offset, size] = map(i * 21 + k);
          block.write(`${offset.toString(8).padStart(11, '0')}\0`, k * 24, 'latin1');
          block.write(`${size.toString(8).padStart(11, '0')}\0`, k * 24 + 12, 'latin1');
        }
        block[504] = 1;
        return block;
      });
      return Buffer.concat([tar([head], { trailer: 0 }).subarray(0, 512), ...blocks]);
    };
    await expectRefused([layer((i) => [(i + 4) * 512, 1])], 'ERR_TRUNCATED');
    const limits = { maxSparseEntries: 10_000 };
    await expectRefused([layer((i) => [(i + 4) * 512, 1])], 'ERR_LIMIT_EXCEEDED', { limits });
    // A list that has ended: readers disagree on whether extension blocks follow.
    const ended = Buffer.alloc(512);
    ended[504] = 1;
    const empty = Buffer.concat([tar([head], { trailer: 0 }).subarray(0, 512), ended, ended]);
    await expectRefused([empty], 'ERR_INVALID_ENTRY');
  });
});

/** One of the codes for a stream that cannot be what it says; any other error fails the test. */
async function codeOf(layer: Buffer): Promise<string> {
  const error = await unpackLayers([layer]).then(
    () => undefined,
    (reason: { code?: string }) => reason,
  );
  expect(['ERR_INVALID_TAR', 'ERR_INVALID_ENTRY', 'ERR_TRUNCATED', 'ERR_LIMIT_EXCEEDED']).toContain(
    error?.code,
  );
  return error?.code ?? '';
}
