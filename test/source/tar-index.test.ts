import { execFile } from 'node:child_process';
import { mkdir, open, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { UnpackError } from '../../src/errors.js';
import { readTarIndex } from '../../src/source/tar-index.js';
import type { TarMembers } from '../../src/source/tar-members.js';
import { withScratch } from '../support/scratch.js';
import { type TarItem, tar } from '../support/tar-builder.js';
import { base256 } from '../support/tar-header.js';

const run = promisify(execFile);

async function indexOf(file: string): Promise<TarMembers> {
  return (await readIndex(file)).members;
}

/** The members, and how many bytes were asked for. */
async function readIndex(file: string): Promise<{ members: TarMembers; bytesRead: number }> {
  const handle = await open(file, 'r');
  const read = vi.spyOn(handle, 'read');
  try {
    const members = await readTarIndex(handle, (await handle.stat()).size, 'archive.tar');
    const lengths = read.mock.calls.map((call) => (call as unknown[])[2] as number);
    return { members, bytesRead: lengths.reduce((sum, length) => sum + length, 0) };
  } finally {
    await handle.close();
  }
}

/** The members of a tar made of these bytes, and what they hold. */
async function withTar(
  bytes: Buffer,
  work: (content: (member: string) => string | undefined, members: TarMembers) => void,
): Promise<void> {
  await withScratch(async (scratch) => {
    const file = path.join(scratch, 'archive.tar');
    await writeFile(file, bytes);
    const members = await indexOf(file);
    work((member) => {
      const found = members.find(member);
      return found && bytes.toString('utf8', found.offset, found.offset + found.length);
    }, members);
  });
}

const file = (name: string, content = name): TarItem => ({ type: 'file', path: name, content });
const code = (wanted: string) => expect.objectContaining({ code: wanted });

describe('readTarIndex', () => {
  it('does not go through many global records for each member', async () => {
    const records = Array.from({ length: 1000 }, (_, n): [string, string] => [`k${n}`, 'v']);
    const recordsSet = async (members: number): Promise<number> => {
      const items = [
        { global: records },
        ...Array.from({ length: members }, (_, n) => file(`m${n}`)),
      ];
      // Also a Map that is made of another one is filled by it (ECMA-262, Map constructor).
      const { set } = Map.prototype;
      let calls = 0;
      Map.prototype.set = function (key, value) {
        calls++;
        return set.call(this, key, value);
      };
      try {
        await withTar(tar(items), (content) => {
          expect(content(`m${members - 1}`)).toBe(`m${members - 1}`);
        });
        return calls;
      } finally {
        Map.prototype.set = set;
      }
    };
    expect((await recordsSet(100)) - (await recordsSet(10))).toBeLessThan(90 * 10);
  });

  const long = `${'directory-with-a-long-name/'.repeat(9)}file`;

  it.each(['pax', 'gnu', 'ustar', 'v7'] as const)('finds members of a %s tar', async (style) => {
    const name = style === 'pax' || style === 'gnu' ? long : 'short';
    const items: TarItem[] = [
      { type: 'directory', path: 'd/', style },
      { type: 'file', path: 'd/a', content: 'first', style },
      { type: 'file', path: name, content: 'x'.repeat(5000), style },
      { type: 'file', path: './d//b', content: 'last', style },
    ];
    await withTar(tar(items), (content) => {
      expect(content('d/a')).toBe('first');
      expect(content(name)).toBe('x'.repeat(5000));
      expect(content('d/b')).toBe('last');
      expect(content('./d/b')).toBe('last');
      expect(content('d')).toBeUndefined();
      expect(content('c')).toBeUndefined();
    });
  });

  it('takes the size from the pax header, and moves on by it (CVE-2025-62518)', async () => {
    const inner = tar([file('smuggled')], { trailer: 0 });
    const items: TarItem[] = [
      { type: 'file', path: 'outer', content: inner, size: 0, pax: [['size', `${inner.length}`]] },
      file('after'),
    ];
    await withTar(tar(items), (content) => {
      expect(content('outer')).toBe(inner.toString());
      expect(content('smuggled')).toBeUndefined();
      expect(content('after')).toBe('after');
    });
  });

  it('uses an extension header for the entry that follows, and no other', async () => {
    const items: TarItem[] = [
      { type: 'file', path: 'x', content: '1', pax: [['path', 'renamed']] },
      file('y'),
    ];
    await withTar(tar(items), (content) => {
      expect(content('renamed')).toBe('1');
      expect(content('x')).toBeUndefined();
      expect(content('y')).toBe('y');
    });
  });

  it('follows links between members, as old docker save writes them', async () => {
    const items: TarItem[] = [
      file('one/layer.tar', 'layer'),
      { type: 'symlink', path: 'two/layer.tar', linkpath: '../one/layer.tar' },
      { type: 'hardlink', path: 'three/layer.tar', linkpath: './two/layer.tar' },
      { type: 'symlink', path: 'out', linkpath: '../../etc/passwd' },
      { type: 'symlink', path: 'absolute', linkpath: '/one/layer.tar' },
      { type: 'symlink', path: 'loop', linkpath: 'loop' },
      { type: 'symlink', path: 'a', linkpath: 'b' },
      { type: 'symlink', path: 'b', linkpath: 'a' },
      { type: 'symlink', path: 'dangling', linkpath: 'nothing' },
    ];
    await withTar(tar(items), (content) => {
      expect(content('two/layer.tar')).toBe('layer');
      expect(content('three/layer.tar')).toBe('layer');
      for (const name of ['out', 'absolute', 'loop', 'a', 'dangling']) {
        expect(content(name)).toBeUndefined();
      }
    });
  });

  it('takes the last of several members with one name, and none that leaves the archive', async () => {
    await withTar(
      tar([file('a', '1'), file('a', '2'), file('../b'), file('x/../../b')]),
      (content) => {
        expect(content('a')).toBe('2');
        expect(content('b')).toBeUndefined();
        expect(content('../b')).toBeUndefined();
      },
    );
  });

  it.each(['old-gnu', '0.0', '0.1', '1.0'] as const)(
    'passes over a sparse file (%s)',
    async (sparseForm) => {
      const extents = Array.from({ length: 30 }, (_, at) => ({
        offset: at * 4096,
        data: Buffer.from('data'),
      }));
      const items: TarItem[] = [
        { type: 'file', path: 'holes', sparse: { size: 200_000, extents }, sparseForm },
        file('after'),
      ];
      await withTar(tar(items), (content, members) => {
        expect(content('after')).toBe('after');
        expect(() => members.find('holes')).toThrow(code('ERR_INVALID_TAR'));
      });
    },
  );

  it('accepts an archive without its trailer, with half of it, and with bytes behind it', async () => {
    for (const options of [{ trailer: 0 }, { trailer: 1 }, { after: Buffer.from('garbage') }]) {
      await withTar(tar([file('a')], options), (content) => expect(content('a')).toBe('a'));
    }
    await withTar(Buffer.alloc(0), (content) => expect(content('a')).toBeUndefined());
  });

  it('reads no body: a member of 10 GB in a sparse file is passed at once', async () => {
    await withScratch(async (scratch) => {
      const archive = path.join(scratch, 'big.tar');
      const size = 10 * 1024 ** 3;
      const head = tar(
        [
          {
            type: 'file',
            path: 'big',
            size,
            rawBody: Buffer.alloc(0),
            fields: { size: base256(size, 12) },
          },
        ],
        { trailer: 0 },
      );
      await writeFile(archive, head);
      await truncate(archive, head.length + size);
      const handle = await open(archive, 'r+');
      await handle.write(tar([file('after')]), 0, undefined, head.length + size);
      await handle.close();
      const { members, bytesRead } = await readIndex(archive);
      expect(members.find('big')).toEqual({ offset: head.length, length: size });
      expect(members.find('after')?.offset).toBe(head.length + size + 512);
      expect(bytesRead).toBeLessThan(32 * 1024);
    });
  });

  it.each([
    [
      'a wrong checksum',
      tar([{ type: 'file', path: 'a', checksum: 'wrong' }]),
      'ERR_INVALID_TAR',
      'tar header at 0: wrong checksum',
    ],
    ['no tar at all', Buffer.alloc(1024, 'text'), 'ERR_INVALID_TAR', 'tar header at 0'],
    [
      'a file shorter than a header',
      Buffer.from('short'),
      'ERR_TRUNCATED',
      'within the tar header at 0',
    ],
    [
      'a body that is cut off',
      tar([file('a', 'x'.repeat(2000))]).subarray(0, 1500),
      'ERR_TRUNCATED',
      'archive.tar: a: ends at 2512 bytes, but the archive has 1500',
    ],
    [
      'a header that is cut off',
      tar([file('a'), file('b')]).subarray(0, 1200),
      'ERR_TRUNCATED',
      'within the tar header at 1024',
    ],
    [
      'a negative size',
      tar([{ type: 'file', path: 'a', fields: { size: base256(-1, 12) } }]),
      'ERR_INVALID_TAR',
      'malformed size',
    ],
    [
      'a size beyond 2^53',
      tar([{ type: 'file', path: 'a', fields: { size: base256(2n ** 60n, 12) } }]),
      'ERR_INVALID_TAR',
      'malformed size',
    ],
    [
      'a size of letters',
      tar([{ type: 'file', path: 'a', fields: { size: 'letters' } }]),
      'ERR_INVALID_TAR',
      'malformed size',
    ],
    [
      'a size that no file has',
      tar([{ type: 'file', path: 'a', fields: { size: base256(2n ** 52n, 12) } }]),
      'ERR_TRUNCATED',
      'archive.tar: a: ends at',
    ],
    [
      'a pax record without its end',
      tar([{ type: 'file', path: 'a', rawPax: Buffer.from('12 path=abc') }]),
      'ERR_INVALID_TAR',
      'malformed record at 0',
    ],
    [
      'a pax record without a length',
      tar([{ type: 'file', path: 'a', rawPax: Buffer.from('path=abc\n') }]),
      'ERR_INVALID_TAR',
      'malformed record at 0',
    ],
    [
      'a pax size of letters',
      tar([{ type: 'file', path: 'a', pax: [['size', '1e3']] }]),
      'ERR_INVALID_TAR',
      'pax size "1e3"',
    ],
    [
      'a pax header of 2 MiB',
      tar([{ type: 'file', path: 'a', pax: [['comment', 'x'.repeat(2 ** 21)]] }]),
      'ERR_LIMIT_EXCEEDED',
      'extension header',
    ],
  ])('refuses %s', async (_, bytes, wanted, message) => {
    const work = withTar(bytes, () => {});
    await expect(work).rejects.toThrow(code(wanted));
    await expect(work).rejects.toThrow(message);
  });

  it('gives members or a typed error for any damage', async () => {
    const good = tar([
      { type: 'file', path: long, content: 'a'.repeat(600) },
      { type: 'file', path: 'b', content: 'b', style: 'gnu' },
      { type: 'symlink', path: 'c', linkpath: 'b' },
    ]);
    await withScratch(async (scratch) => {
      const archive = path.join(scratch, 'damaged.tar');
      const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 });
      await fc.assert(
        fc.asyncProperty(damage, fc.nat(good.length), async (changes, length) => {
          const bytes = Buffer.from(good);
          for (const [at, byte] of changes) {
            bytes[at] = byte;
          }
          await writeFile(archive, bytes.subarray(0, length));
          try {
            const members = await indexOf(archive);
            const found = members.find('b');
            expect(found === undefined || found.offset + found.length <= length).toBe(true);
          } catch (error) {
            expect(error).toBeInstanceOf(UnpackError);
          }
        }),
        { numRuns: 300 },
      );
    });
  });

  it.each(['gnu', 'posix', 'ustar', 'v7', 'oldgnu'])(
    'agrees with GNU tar, format %s',
    async (format) => {
      await withScratch(async (scratch) => {
        const tree = path.join(scratch, 'tree');
        const names = ['a', 'd/b', ...(format === 'ustar' || format === 'v7' ? [] : [long])];
        for (const name of names) {
          await mkdir(path.dirname(path.join(tree, name)), { recursive: true });
          await writeFile(path.join(tree, name), `content of ${name}`);
        }
        await symlink('d/b', path.join(tree, 'link'));
        const archive = path.join(scratch, 'archive.tar');
        await run('tar', ['-C', tree, `--format=${format}`, '-cf', archive, '.']);
        const members = await indexOf(archive);
        const bytes = await readFile(archive);
        for (const name of [...names, 'link']) {
          const { offset, length } = members.find(name) ?? { offset: 0, length: 0 };
          const wanted = `content of ${name === 'link' ? 'd/b' : name}`;
          expect(bytes.toString('utf8', offset, offset + length)).toBe(wanted);
        }
      });
    },
  );
});
