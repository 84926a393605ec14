// The tars that the tests are made of, read by GNU tar and by Python's tarfile: what the builder calls legal, both
// must read in the same way.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { withScratch } from '../support/scratch.js';
import {
  device,
  dir,
  fifo,
  file,
  hardlink,
  opaque,
  symlink,
  type TarEntry,
  tar,
  whiteout,
} from '../support/tar-builder.js';
import { dumpTree } from '../support/tree-dump.js';

const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}`;

describe('tar builder', () => {
  it.each(['pax', 'gnu'] as const)('%s entries are read alike by two readers', async (style) => {
    const items = [
      dir('dir', { mode: 0o1777, style }),
      file('dir/file', 'content', { uid: 1000, gid: 3_000_000, style }),
      file(long, 'long', { style }),
      symlink('link', long, { style }),
      hardlink('dir/second', 'dir/file', { style }),
      device('null', 'char', 1, 3, { style }),
      fifo('fifo', { style }),
      file('early', '', { mtime: -86_400_000_000_000n, style }),
      whiteout('dir/gone', { style }),
      opaque('dir', { style }),
    ];
    await withScratch(async (scratch) => {
      const archive = path.join(scratch, 'a.tar');
      writeFileSync(archive, tar(items));
      const expected = items.map(({ path: name }) => String(name));
      const gnu = execFileSync('tar', ['-tf', archive], { encoding: 'utf8' });
      expect(lines(gnu).map((line) => line.replace(/\/$/, ''))).toEqual(expected);
      expect(pythonListing(archive)).toEqual(
        items.map((item) => ({
          name: item.path,
          mode:
            item.mode ??
            (item.type === 'directory' ? 0o755 : item.type === 'symlink' ? 0o777 : 0o644),
          uid: item.uid ?? 0,
          gid: item.gid ?? 0,
          mtime: Number((item.mtime ?? 1_600_000_000_000_000_000n) / 1_000_000_000n),
          linkname: item.linkpath ?? '',
        })),
      );
    });
  });

  it.each(['old-gnu', '0.0', '0.1', '1.0'] as const)(
    'sparse form %s is what GNU tar extracts',
    async (sparseForm) => {
      const extents = Array.from({ length: 30 }, (_, i) => ({
        offset: i * 8192 + 4096,
        data: Buffer.alloc(1024, 65 + i),
      }));
      const items: TarEntry[] = [
        { type: 'file', path: 'sparse', sparse: { size: 400_000, extents }, sparseForm },
        file('after', 'still in step'),
      ];
      await withScratch(async (scratch) => {
        writeFileSync(path.join(scratch, 'a.tar'), tar(items));
        execFileSync('tar', ['-xf', 'a.tar'], { cwd: scratch });
        const tree = await dumpTree(scratch);
        const content = Buffer.alloc(400_000);
        for (const { offset, data } of extents) {
          data.copy(content, offset);
        }
        await withScratch(async (other) => {
          writeFileSync(path.join(other, 'sparse'), content);
          const plain = await dumpTree(other);
          expect(tree.get('sparse')?.hash).toBe(plain.get('sparse')?.hash);
        });
        expect(tree.get('after')?.size).toBe(13);
      });
    },
  );

  it('says xattrs and fractions of a second as GNU tar reads them', async () => {
    await withScratch(async (scratch) => {
      const xattrs = { 'user.note': Buffer.from('a=b\nc') };
      writeFileSync(
        path.join(scratch, 'a.tar'),
        tar([file('f', 'x', { xattrs, mtime: 1_500_000_001n })]),
      );
      execFileSync('tar', ['--xattrs', '--xattrs-include=*', '-xf', 'a.tar'], { cwd: scratch });
      const entry = (await dumpTree(scratch)).get('f');
      expect(entry?.mtime).toBe(1_500_000_001n);
      expect(entry?.xattrs).toEqual({ 'user.note': Buffer.from('a=b\nc').toString('hex') });
    });
  });
});

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

function pythonListing(archive: string): unknown {
  const program = `
import json, sys, tarfile
with tarfile.open(sys.argv[1]) as tar:
    print(json.dumps([{"name": m.name, "mode": m.mode, "uid": m.uid, "gid": m.gid, "mtime": int(m.mtime),
                       "linkname": m.linkname} for m in tar]))`;
  return JSON.parse(execFileSync('python3', ['-c', program, archive], { encoding: 'utf8' }));
}
