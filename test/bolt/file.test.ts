// Whole databases: what was written is read, in any shape; what is damaged is refused by name.

import { execFile } from 'node:child_process';
import { openSync, writeFileSync, writeSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BoltBucket, BoltFile } from '../../src/bolt/index.js';
import { fnv1a64 } from '../../src/bolt/meta.js';
import { type BoltTree, buildBolt, sealMeta } from '../support/bolt-builder.js';
import { withScratch } from '../support/scratch.js';

const code = (wanted: string) => expect.objectContaining({ code: wanted });

/** A bucket with all below it. */
function treeOf(bucket: BoltBucket): BoltTree {
  const entries = Array.from(bucket.entries(), ({ key, value, bucket: below }) => [
    key.toString(),
    below === undefined ? (value?.toString() ?? '') : treeOf(below),
  ]);
  return Object.fromEntries(entries);
}

async function withFile<T>(bytes: Buffer, work: (file: string) => Promise<T>): Promise<T> {
  return withScratch(async (scratch) => {
    const file = path.join(scratch, 'test.db');
    await writeFile(file, bytes);
    return work(file);
  });
}

async function readAll(file: string, maxBytes?: number): Promise<BoltTree> {
  const database = BoltFile.open(file, maxBytes === undefined ? {} : { maxBytes });
  try {
    return await database.view(({ root }) => treeOf(root));
  } finally {
    database.close();
  }
}

const readBytes = (bytes: Buffer, maxBytes?: number) =>
  withFile(bytes, (file) => readAll(file, maxBytes));

/** Some of everything: inline and nested buckets, several levels of branches, overflow pages, an empty bucket. */
function sample(): BoltTree {
  const many: BoltTree = {};
  for (let i = 0; i < 2000; i++) {
    many[`key ${String(i).padStart(5, '0')}`] = i % 7 === 0 ? { a: `${i}`, b: 'x' } : `value ${i}`;
  }
  return { v1: { many, large: { big: 'y'.repeat(20_000), small: '' }, empty: {} }, top: 'value' };
}

describe('a database', () => {
  it.each([1024, 4096, 65_536])('is read with pages of %i bytes', async (pageSize) => {
    const tree = sample();
    await withFile(buildBolt(tree, { pageSize }), async (file) => {
      expect(await readAll(file)).toEqual(tree);
      const database = BoltFile.open(file);
      await database.view(({ root, id }) => {
        expect(id).toBe(7n);
        const many = root.at('v1', 'many');
        expect(many?.get('key 00001')?.toString()).toBe('value 1');
        expect(many?.get('key 00007')).toBeUndefined();
        expect(many?.bucket('key 00007')?.get('a')?.toString()).toBe('7');
        for (const missing of ['', 'a', 'key 00001x', 'key 99999', 'z']) {
          expect(many?.entry(missing)).toBeUndefined();
        }
        expect(root.at('v1', 'large', 'nothing', 'below')).toBeUndefined();
        expect(root.get('top')?.toString()).toBe('value');
        expect(root.bucket('top')).toBeUndefined();
      });
      database.close();
      database.close();
    });
  });

  it('of any content is what was written', async () => {
    const key = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' });
    const { tree } = fc.letrec<{ tree: BoltTree; node: string | BoltTree }>((tie) => ({
      tree: fc.dictionary(key, tie('node'), { maxKeys: 30, noNullPrototype: true }),
      node: fc.oneof({ depthSize: 'small' }, fc.string({ maxLength: 3000 }), tie('tree')),
    }));
    await fc.assert(
      fc.asyncProperty(tree, async (written) => {
        expect(await readBytes(buildBolt(written, { pageSize: 1024 }))).toEqual(written);
      }),
      { numRuns: 60, seed: 7 },
    );
  });

  it('is what the valid meta page of the higher transaction says', async () => {
    const newer = buildBolt({ state: 'newer' }, { transaction: 8n });
    const [first, second] = [0, 4096].map((at) => newer.subarray(at, at + 4096));
    expect(await readBytes(newer)).toEqual({ state: 'newer' });
    second?.fill(0);
    expect(await readBytes(newer)).toEqual({ state: 'newer' });
    first?.fill(0);
    await expect(readBytes(newer)).rejects.toThrow('is no bbolt database');
    for (const pageSize of [1024, 16_384, 65_536]) {
      const bytes = buildBolt({ state: 'x' }, { pageSize });
      bytes.fill(0, 0, 128);
      expect(await readBytes(bytes)).toEqual({ state: 'x' });
    }
    expect(fnv1a64(Buffer.from('a'))).toBe(0xaf63dc4c8601ec8cn);
  });

  it.each([
    ['a page size', 8, 100],
    ['another page size', 8, 8192],
    ['a root beyond the end', 16, 5000],
    ['no pages', 40, 0],
  ])('is never an older state because the newer names %s', async (_, field, value) => {
    const bytes = buildBolt({ state: 'x' });
    const newer = bytes.subarray(4096);
    newer.writeUInt32LE(value, 16 + field);
    sealMeta(newer);
    await expect(readBytes(bytes)).rejects.toThrow(code('ERR_INVALID_STORE'));
  });
});

describe('what is no database, or another', () => {
  it.each([
    ['an empty file', Buffer.alloc(0)],
    ['a short file', Buffer.from('text')],
    ['zeros', Buffer.alloc(65_536)],
  ])('%s is refused', async (_, bytes) => {
    await expect(readBytes(bytes)).rejects.toThrow(code('ERR_INVALID_STORE'));
    await expect(readBytes(bytes)).rejects.toThrow('is no bbolt database');
  });

  it('is refused by its version', async () => {
    const bytes = buildBolt({ a: 'b' });
    for (const at of [0, 4096]) {
      bytes.writeUInt32LE(3, at + 16 + 4);
      sealMeta(bytes.subarray(at));
    }
    await expect(readBytes(bytes)).rejects.toThrow(code('ERR_UNKNOWN_STORE_VERSION'));
    await expect(readBytes(bytes)).rejects.toThrow('of version 3; 2 is known');
  });

  it('is refused where it is missing, a directory or a fifo', async () => {
    await withScratch(async (scratch) => {
      const fifo = path.join(scratch, 'fifo');
      await promisify(execFile)('mkfifo', [fifo]);
      expect(() => BoltFile.open(path.join(scratch, 'none'))).toThrow(code('ERR_NOT_FOUND'));
      expect(() => BoltFile.open(scratch)).toThrow(code('ERR_INVALID_STORE'));
      expect(() => BoltFile.open(fifo)).toThrow(code('ERR_INVALID_STORE'));
    });
  });
});

/** A database whose root bucket is one branch page; its id, and its children's. */
function branchy(): { bytes: Buffer; root: number; children: number[] } {
  const tree: BoltTree = {};
  for (let i = 0; i < 200; i++) {
    tree[`key ${String(i).padStart(3, '0')}`] = 'v'.repeat(30);
  }
  const bytes = buildBolt(tree, { pageSize: 1024 });
  const root = Number(bytes.readBigUInt64LE(16 + 16));
  const page = bytes.subarray(root * 1024, (root + 1) * 1024);
  expect(page.readUInt16LE(8)).toBe(1);
  const children = Array.from({ length: page.readUInt16LE(10) }, (_, i) =>
    Number(page.readBigUInt64LE(16 + 16 * i + 8)),
  );
  return { bytes, root, children };
}

describe('damage', () => {
  const damages: [string, (made: ReturnType<typeof branchy>) => void, string][] = [
    [
      'a branch that is its own child',
      ({ bytes, root }) => bytes.writeBigUInt64LE(BigInt(root), root * 1024 + 24),
      'used twice',
    ],
    [
      'a page with two parents',
      ({ bytes, root, children }) =>
        bytes.writeBigUInt64LE(BigInt(children[0] ?? 0), root * 1024 + 16 + 16 + 8),
      'used twice',
    ],
    [
      'a child beyond any file',
      ({ bytes, root }) => bytes.writeBigUInt64LE(2n ** 60n, root * 1024 + 24),
      'beyond any file',
    ],
    [
      'a child that is a meta page',
      ({ bytes, root }) => bytes.writeBigUInt64LE(1n, root * 1024 + 24),
      'is none of',
    ],
    [
      'overflow without end',
      ({ bytes, children }) => bytes.writeUInt32LE(0xffff_ffff, (children[0] ?? 0) * 1024 + 12),
      'overflow pages',
    ],
    [
      'a count without room',
      ({ bytes, children }) => bytes.writeUInt16LE(0xffff, (children[0] ?? 0) * 1024 + 10),
      'no room',
    ],
    [
      'a count that is too small',
      ({ bytes, children }) => bytes.writeUInt16LE(1, (children[0] ?? 0) * 1024 + 10),
      'is not where it must be',
    ],
    [
      'a key beyond the page',
      ({ bytes, children }) => bytes.writeUInt32LE(0xffff_fff0, (children[0] ?? 0) * 1024 + 24),
      'is not where it must be',
    ],
    [
      'another kind of page',
      ({ bytes, children }) => bytes.writeUInt16LE(0x10, (children[0] ?? 0) * 1024 + 8),
      'neither branch nor leaf',
    ],
    [
      'keys out of order',
      ({ bytes, children }) => {
        const page = (children[1] ?? 0) * 1024;
        bytes.write('zzz', page + 16 + 16 * bytes.readUInt16LE(page + 10));
      },
      'out of order',
    ],
    [
      'pages of another place',
      ({ bytes, children }) => {
        const page = (children[1] ?? 0) * 1024;
        const [a, b] = [0, 1].map((i) => (children[i] ?? 0) * 1024) as [number, number];
        bytes.copy(bytes, b + 16, a + 16, a + 1024);
        bytes.copy(bytes, page + 8, a + 8, a + 12);
      },
      'leads to a page with other keys',
    ],
  ];

  it.each(damages)('%s is told', async (_, damage, message) => {
    const made = branchy();
    damage(made);
    await expect(readBytes(made.bytes)).rejects.toThrow(code('ERR_INVALID_STORE'));
    await expect(readBytes(made.bytes)).rejects.toThrow(message);
  });

  it('by the end of the file is told', async () => {
    const { bytes } = branchy();
    await expect(readBytes(bytes.subarray(0, bytes.length - 1024))).rejects.toThrow('is missing');
  });

  it('cannot make it read more than is allowed', async () => {
    const bytes = buildBolt(sample());
    await expect(readBytes(bytes, 30_000)).rejects.toThrow(code('ERR_LIMIT_EXCEEDED'));
  });
});

describe('a database that is written to', () => {
  it('is read as one state', async () => {
    await withFile(buildBolt({ state: 'first', n: {} }, { transaction: 7n }), async (file) => {
      const database = BoltFile.open(file);
      const seen: string[] = [];
      const state = await database.view(({ root }) => {
        const text = root.get('state')?.toString() ?? '';
        if (seen.length === 0) {
          writeFileSync(file, buildBolt({ state: 'second', n: {} }, { transaction: 8n }));
        }
        seen.push(text);
        return text;
      });
      expect(seen).toEqual(['first', 'second']);
      expect(state).toBe('second');
      database.close();
    });
  });

  it('is no error that an unfinished write has caused', async () => {
    const next = buildBolt({ state: 'second' }, { transaction: 8n });
    await withFile(buildBolt({ state: 'first' }, { transaction: 7n }), async (file) => {
      const database = BoltFile.open(file);
      let calls = 0;
      const state = await database.view(({ root }) => {
        if (++calls === 1) {
          // The page is overwritten before it is read; later the meta page says so.
          const writer = openSync(file, 'r+');
          writeSync(writer, Buffer.alloc(4096), 0, 4096, 3 * 4096);
          try {
            return root.get('state')?.toString();
          } finally {
            writeSync(writer, next, 0, next.length, 0);
          }
        }
        return root.get('state')?.toString();
      });
      expect({ state, calls }).toEqual({ state: 'second', calls: 2 });
      database.close();
    });
  });

  it('is given up when it changes each time', async () => {
    await withFile(buildBolt({ state: 'x' }), async (file) => {
      const small = BoltFile.open(file, { maxBytes: 4096 });
      let transaction = 7n;
      const work = small.view(() => {
        transaction++;
        writeFileSync(file, buildBolt({ state: 'x' }, { transaction }));
      });
      await expect(work).rejects.toThrow(code('ERR_STORE_BUSY'));
      small.close();
    });
  });
});
