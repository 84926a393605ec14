import { createReadStream } from 'node:fs';
import {
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  symlink as symlinkTo,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import { type LayerSource, unpackLayer } from '../../src/index.js';
import { chainID, digestOf } from '../../src/oci/index.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, hardlink, symlink, tar, whiteout } from '../support/tar-builder.js';
import { withTmpfs } from '../support/tmpfs.js';
import { dumpTree } from '../support/tree-dump.js';

const root = process.getuid?.() === 0;

// Several of the addon's chunks, so that backpressure is met.
const noise = Buffer.alloc(3 * 2 ** 20);
for (let at = 0; at < noise.length; at += 4) {
  noise.writeUInt32LE(Math.imul(at + 1, 2654435761) >>> 0, at);
}
const plain = tar([dir('d', { mode: 0o750 }), file('d/noise', noise), symlink('d/link', 'noise')]);
const blob = gzipSync(plain, { level: 1 });

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield bytes.subarray(at, at + size);
  }
}

async function expectUnpacked(directory: string): Promise<void> {
  expect((await readdir(path.join(directory, 'd'))).sort()).toEqual(['link', 'noise']);
  expect((await readFile(path.join(directory, 'd/noise'))).equals(noise)).toBe(true);
  expect((await stat(path.join(directory, 'd'))).mode & 0o7777).toBe(0o750);
}

/** Nothing of a layer, and nothing beside it. */
async function expectNothing(scratch: string, ...others: string[]): Promise<void> {
  expect((await readdir(scratch)).sort()).toEqual(['blob', ...others].sort());
}

test.each(['overlay', 'flat'] as const)('a symlink to a directory, %s', async (format) => {
  await withScratch(async (scratch) => {
    const file = path.join(scratch, 'blob');
    await writeFile(file, blob);
    await mkdir(path.join(scratch, 'real'));
    await symlinkTo('real', path.join(scratch, 'link'));
    const directory = path.join(scratch, 'link');
    expect(await unpackLayer(file, directory, { format })).toMatchObject({ path: directory });
    await expectUnpacked(path.join(scratch, 'real'));
    expect((await lstat(directory)).isSymbolicLink()).toBe(true);
    await expectNothing(scratch, 'link', 'real');
  });
});

describe('sources', () => {
  const sources: Record<string, (file: string) => LayerSource | Promise<LayerSource>> = {
    'a path': (file) => file,
    'a file URL': (file) => pathToFileURL(file),
    'a Buffer': () => blob,
    'a Uint8Array': () => new Uint8Array(blob),
    'a Node stream': (file) => createReadStream(file),
    'a Node stream of an iterable': () => Readable.from(pieces(blob, 999)),
    'a web stream': () => ReadableStream.from(pieces(blob, 70_000)) as LayerSource,
    'an async iterable': () => pieces(blob, 1_000_000),
    'a fetch body': async () => new Response(blob).body as LayerSource,
  };
  test.each(Object.entries(sources))('%s', async (_, source) => {
    await withScratch(async (scratch) => {
      const file = path.join(scratch, 'blob');
      await writeFile(file, blob);
      const directory = path.join(scratch, 'layer');
      const report = await unpackLayer(await source(file), directory, {
        digest: digestOf(blob),
        size: blob.length,
        diffID: digestOf(plain),
      });
      expect(report).toMatchObject({
        digest: digestOf(blob),
        size: blob.length,
        diffID: digestOf(plain),
        chainID: digestOf(plain),
        compression: 'gzip',
        path: directory,
        uncompressedSize: plain.length,
      });
      await expectUnpacked(directory);
      await expectNothing(scratch, 'layer');
    });
  });

  test('a file descriptor, which stays open', async () => {
    await withScratch(async (scratch) => {
      await writeFile(path.join(scratch, 'blob'), blob);
      const handle = await open(path.join(scratch, 'blob'));
      try {
        await unpackLayer(handle.fd, path.join(scratch, 'layer'), { digest: digestOf(blob) });
        await expectUnpacked(path.join(scratch, 'layer'));
        expect((await handle.stat()).size).toBe(blob.length);
      } finally {
        await handle.close();
      }
    });
  });

  test.each([null, undefined, {}, true, ['a']])('%s is refused', async (source) => {
    await withScratch(async (scratch) => {
      const directory = path.join(scratch, 'layer');
      await expect(unpackLayer(source as never, directory)).rejects.toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
      });
    });
  });

  test('an error of the source is the cause, and nothing is left', async () => {
    await withScratch(async (scratch) => {
      await writeFile(path.join(scratch, 'blob'), blob);
      const broken = new Error('connection reset');
      async function* failing() {
        yield* pieces(blob.subarray(0, 1_000_000), 100_000);
        throw broken;
      }
      await expect(unpackLayer(failing(), path.join(scratch, 'layer'))).rejects.toMatchObject({
        code: 'ERR_IO',
        cause: broken,
      });
      await expectNothing(scratch);
    });
  });

  test('a source that gives no bytes is refused', async () => {
    await withScratch(async (scratch) => {
      const texts = Readable.from(['a', 'b']);
      await expect(unpackLayer(texts, path.join(scratch, 'layer'))).rejects.toMatchObject({
        code: 'ERR_IO',
        cause: expect.any(TypeError),
      });
      expect(texts.destroyed).toBe(true);
    });
  });

  test('a bad blob ends the source', async () => {
    await withScratch(async (scratch) => {
      let ended = false;
      async function* endless() {
        try {
          for (;;) {
            yield Buffer.alloc(100_000, 'not a tar');
            await new Promise((resolve) => setTimeout(resolve, 1));
          }
        } finally {
          ended = true;
        }
      }
      await expect(unpackLayer(endless(), path.join(scratch, 'layer'))).rejects.toMatchObject({
        code: 'ERR_INVALID_TAR',
      });
      // Not awaited by the call: a source may answer late, or never.
      await vi.waitFor(() => expect(ended).toBe(true));
    });
  });

  test('a signal ends a source that has stalled', async () => {
    await withScratch(async (scratch) => {
      await writeFile(path.join(scratch, 'blob'), blob);
      let cancelled = false;
      const stalled = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(blob.subarray(0, 100_000)),
        cancel: () => {
          cancelled = true;
        },
      });
      const signal = AbortSignal.timeout(100);
      const unpacking = unpackLayer(stalled as LayerSource, path.join(scratch, 'layer'), {
        signal,
      });
      await expect(unpacking).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      expect(cancelled).toBe(true);
      await expectNothing(scratch);
    });
  });
});

describe('what is checked', () => {
  test.each([
    ['digest', digestOf('other'), 'ERR_DIGEST_MISMATCH'],
    ['size', blob.length + 1, 'ERR_SIZE_MISMATCH'],
    ['size', blob.length - 1, 'ERR_SIZE_MISMATCH'],
    ['diffID', digestOf('other'), 'ERR_DIFFID_MISMATCH'],
  ])('%s %s', async (option, value, code) => {
    await withScratch(async (scratch) => {
      await writeFile(path.join(scratch, 'blob'), blob);
      for (const source of [path.join(scratch, 'blob'), blob]) {
        const unpacking = unpackLayer(source, path.join(scratch, 'layer'), { [option]: value });
        await expect(unpacking).rejects.toMatchObject({ code });
        await expectNothing(scratch);
      }
    });
  });
});

describe('the directory', () => {
  test('may be there and empty, and must not hold anything', async () => {
    await withScratch(async (scratch) => {
      const directory = path.join(scratch, 'layer');
      await mkdir(directory);
      await unpackLayer(blob, directory);
      await expectUnpacked(directory);
      await expect(unpackLayer(blob, directory)).rejects.toMatchObject({
        code: 'ERR_DESTINATION_NOT_EMPTY',
      });
      await expectUnpacked(directory);
    });
  });

  test('flat merges into what is there, whiteouts executed', async () => {
    await withScratch(async (scratch) => {
      const directory = path.join(scratch, 'root');
      await unpackLayer(blob, directory, { format: 'flat' });
      const upper = tar([whiteout('d/noise'), file('d/new', 'new'), file('e', 'e')]);
      const report = await unpackLayer(upper, directory, { format: 'flat' });
      expect(report.counts).toMatchObject({ files: 2, whiteouts: 1 });
      expect((await readdir(directory)).sort()).toEqual(['d', 'e']);
      expect((await readdir(path.join(directory, 'd'))).sort()).toEqual(['link', 'new']);
      expect((await stat(path.join(directory, 'd'))).mode & 0o7777).toBe(0o750);
      expect(await readdir(scratch)).toEqual(['root']);
    });
  });

  test.skipIf(!root)('may be a mount point (needs root, for a tmpfs)', async () => {
    await withTmpfs('size=16m', async (directory) => {
      const wrong = { digest: digestOf('other') };
      await expect(unpackLayer(blob, directory, wrong)).rejects.toMatchObject({
        code: 'ERR_DIGEST_MISMATCH',
      });
      expect(await readdir(directory)).toEqual([]);
      await unpackLayer(blob, directory);
      await expectUnpacked(directory);
      const flat = { format: 'flat' } as const;
      await unpackLayer(tar([whiteout('d/link'), file('e', '')]), directory, flat);
      expect((await readdir(directory)).sort()).toEqual(['d', 'e']);
      expect(await readdir(path.join(directory, 'd'))).toEqual(['noise']);
    });
  });
});

describe('parents', () => {
  test('give implicit directories their attributes, and the report its chainID', async () => {
    await withScratch(async (scratch) => {
      const lower = {
        directory: path.join(scratch, 'lower'),
        index: path.join(scratch, 'lower.idx'),
      };
      const { diffID } = await unpackLayer(blob, lower.directory, { index: lower.index });
      const upper = tar([file('d/new', 'new'), whiteout('d/link'), whiteout('d/absent')]);
      const directory = path.join(scratch, 'upper');
      const parents = [{ ...lower, diffID }];
      const report = await unpackLayer(upper, directory, { parents });
      expect(report.chainID).toBe(chainID([diffID, digestOf(upper)]));
      expect((await stat(path.join(directory, 'd'))).mode & 0o7777).toBe(0o750);
      expect(report.warnings.map(({ kind }) => kind)).toContain('whiteout-dropped');
      const anonymous = path.join(scratch, 'anonymous');
      expect((await unpackLayer(upper, anonymous, { parents: [lower] })).chainID).toBe('');
    });
  });

  test('a stream is followed through a symlink of a parent', async () => {
    await withScratch(async (scratch) => {
      const lower = {
        directory: path.join(scratch, 'lower'),
        index: path.join(scratch, 'lower.idx'),
      };
      const base = tar([dir('usr'), dir('usr/lib'), symlink('lib', 'usr/lib')]);
      await unpackLayer(base, lower.directory, { index: lower.index });
      const directory = path.join(scratch, 'upper');
      const upper = Readable.from(pieces(tar([file('lib/x', 'x')]), 1000));
      const report = await unpackLayer(upper, directory, { parents: [lower] });
      expect(report.replanned).toBe(true);
      expect(await readFile(path.join(directory, 'usr/lib/x'), 'utf8')).toBe('x');
      expect((await readdir(scratch)).sort()).toEqual(['lower', 'lower.idx', 'upper']);
    });
  });

  test('the root keeps nothing of a first pass that ended in a doubt', async () => {
    await withScratch(async (scratch) => {
      const lower = {
        directory: path.join(scratch, 'lower'),
        index: path.join(scratch, 'lower.idx'),
      };
      await unpackLayer(tar([symlink('e', 'b')]), lower.directory, { index: lower.index });
      const directory = path.join(scratch, 'upper');
      const layer = tar([
        file('e/f', 'x'),
        dir('./', { xattrs: { 'user.note': 'of an entry in the middle' } }),
        hardlink('link', 'e'), // a directory, for whom the lower layer's symlink is not known yet
        dir('./'),
      ]);
      const report = await unpackLayer(layer, directory, { parents: [lower] });
      expect(report.replanned).toBe(true);
      expect((await dumpTree(directory)).get('')?.xattrs).toEqual({});
    });
  });

  test.each(['follow', 'error', 'replace'] as const)(
    "a stream's hardlinks lead through a symlink of a parent, symlinkParents %s",
    async (symlinkParents) => {
      await withScratch(async (scratch) => {
        const lower = {
          directory: path.join(scratch, 'lower'),
          index: path.join(scratch, 'lower.idx'),
        };
        const base = tar([
          dir('usr'),
          dir('usr/lib'),
          file('usr/lib/x', 'x'),
          symlink('lib', 'usr/lib'),
        ]);
        await unpackLayer(base, lower.directory, { index: lower.index });
        const upper = tar([hardlink('y', 'lib/x'), hardlink('z', 'lib/../lib/x')]);
        const policies = { symlinkParents };
        const expected = await unpackLayer(upper, path.join(scratch, 'read'), {
          parents: [lower],
          policies,
        });
        const streamed = path.join(scratch, 'streamed');
        const stream = Readable.from(pieces(upper, 1000));
        const report = await unpackLayer(stream, streamed, { parents: [lower], policies });
        expect(report).toMatchObject({ replanned: true, counts: expected.counts });
        for (const name of ['y', 'z', 'usr/lib/x']) {
          expect(await readFile(path.join(streamed, name), 'utf8')).toBe('x');
        }
      });
    },
  );

  test('are not for flat, and must have a good index', async () => {
    await withScratch(async (scratch) => {
      const parents = [{ directory: scratch, index: path.join(scratch, 'index') }];
      const directory = path.join(scratch, 'layer');
      const flat = unpackLayer(blob, directory, { format: 'flat', parents });
      await expect(flat).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
      await expect(unpackLayer(blob, directory, { parents })).rejects.toMatchObject({
        code: 'ERR_NOT_FOUND',
      });
      await writeFile(path.join(scratch, 'index'), 'no index');
      await expect(unpackLayer(blob, directory, { parents })).rejects.toMatchObject({
        code: 'ERR_INVALID_INDEX',
      });
      expect(await readdir(scratch)).toEqual(['index']);
    });
  });
});
