import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import zlib, { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/index.js';
import { openImageSource, resolveImage } from '../../src/source/index.js';
import { dockerArchive } from '../support/docker-archive-builder.js';
import { writeLayout, zstdStored } from '../support/layout-builder.js';
import { withScratch } from '../support/scratch.js';
import { tar } from '../support/tar-builder.js';

const run = promisify(execFile);
const layer = tar([{ type: 'file', path: 'a', content: 'a'.repeat(100_000) }]);
const code = (wanted: string) => expect.objectContaining({ code: wanted });
const images = [{ tag: 'latest', layers: [layer] }];
const hasZstd = 'createZstdDecompress' in zlib;

async function layoutArchive(scratch: string): Promise<string> {
  await writeLayout(path.join(scratch, 'layout'), { images });
  const file = path.join(scratch, 'layout.tar');
  await run('tar', ['-C', path.join(scratch, 'layout'), '-cf', file, '.']);
  return file;
}

describe('references', () => {
  it.each([
    ['', 'is neither a reference nor an existing path'],
    ['oci:', 'has no path'],
    ['oci::latest', 'has no path'],
    ['oci:/tmp:', 'has nothing after the last colon'],
    ['oci:/tmp\0', 'contains a NUL'],
    ['debian:12', 'is neither a reference nor an existing path'],
    ['docker://debian', 'transport docker is not supported'],
    ['containers-storage://x', 'transport containers-storage is not supported'],
    ['docker-archive:/tmp/x:UPPER', 'is not REPOSITORY[:TAG] or @N'],
  ])('%j is refused', async (reference, message) => {
    await expect(openImageSource(reference)).rejects.toThrow(code('ERR_INVALID_REFERENCE'));
    await expect(openImageSource(reference)).rejects.toThrow(message);
    await expect(openImageSource(reference)).rejects.toThrow('oci:PATH[:TAG]');
  });

  it.each(['oci', 'oci-archive', 'docker-archive'])(
    '%s: a path that is not there is told',
    async (transport) => {
      const work = openImageSource(`${transport}:/nonexistent/image`);
      await expect(work).rejects.toThrow(code('ERR_NOT_FOUND'));
      await expect(work).rejects.toMatchObject({ path: '/nonexistent/image', errno: 'ENOENT' });
    },
  );

  it('a directory is no archive, and a file no directory', async () => {
    await withScratch(async (scratch) => {
      const file = await layoutArchive(scratch);
      await expect(openImageSource(`oci:${file}`)).rejects.toThrow('oci-archive:');
      await expect(openImageSource(`oci-archive:${scratch}`)).rejects.toThrow('oci:PATH');
      await run('mkfifo', [path.join(scratch, 'fifo')]);
      await expect(openImageSource(`oci-archive:${scratch}/fifo`)).rejects.toThrow(
        code('ERR_INVALID_IMAGE'),
      );
    });
  });

  it('an unreadable archive is told', async () => {
    await withScratch(async (scratch) => {
      const file = await layoutArchive(scratch);
      await chmod(scratch, 0o755);
      await chmod(file, 0);
      const user = process.geteuid?.() ?? 0;
      if (user === 0) {
        process.seteuid?.(65_534);
      }
      try {
        const work = openImageSource(`oci-archive:${file}`);
        await expect(work).rejects.toMatchObject({ code: 'ERR_PERMISSION', path: file });
      } finally {
        process.seteuid?.(user);
      }
    });
  });
});

describe('a bare path', () => {
  it('is detected, and the reference says as what', async () => {
    await withScratch(async (scratch) => {
      const file = await layoutArchive(scratch);
      const docker = path.join(scratch, 'docker.tar');
      await writeFile(docker, dockerArchive({ images: [{ tags: ['a:1'], layers: [layer] }] }));
      const layout = path.join(scratch, 'layout');
      for (const [given, wanted] of [
        [layout, `oci:${layout}`],
        [`${layout}:latest`, `oci:${layout}:latest`],
        [file, `oci-archive:${file}`],
        [`${file}:@0`, `oci-archive:${file}:@0`],
        [docker, `docker-archive:${docker}`],
        [`${docker}:a:1`, `docker-archive:${docker}:a:1`],
      ] as const) {
        const source = await openImageSource(given);
        expect(source.reference).toBe(wanted);
        expect((await resolveImage(source)).layers[0]?.diffID).toBe(digestOf(layer));
        await source.close();
        await source.close();
      }
    });
  });

  it('may contain a colon when it is the whole text', async () => {
    await withScratch(async (scratch) => {
      const layout = path.join(scratch, 'lay:out');
      await writeLayout(layout, { images });
      const source = await openImageSource(layout);
      expect((await resolveImage(source)).layers).toHaveLength(1);
    });
  });

  it('to something else is told', async () => {
    await withScratch(async (scratch) => {
      await mkdir(path.join(scratch, 'empty'));
      await expect(openImageSource(path.join(scratch, 'empty'))).rejects.toThrow(
        'the file oci-layout is missing',
      );
      const file = path.join(scratch, 'root.tar');
      await writeFile(file, layer);
      await expect(openImageSource(file)).rejects.toThrow('holds neither an OCI layout');
      await writeFile(file, 'text'.repeat(1000));
      await expect(openImageSource(file)).rejects.toThrow(code('ERR_INVALID_TAR'));
    });
  });
});

describe('a compressed archive', () => {
  let temporary: string;
  const before = process.env.TMPDIR;
  beforeEach(async () => {
    temporary = `${process.env.SCRATCH ?? '/dev/shm'}/oci-unpack-tmp-${process.pid}`;
    await mkdir(temporary, { recursive: true });
    process.env.TMPDIR = temporary;
  });
  afterEach(async () => {
    if (before === undefined) {
      delete process.env.TMPDIR;
    } else {
      process.env.TMPDIR = before;
    }
    const left = await readdir(temporary);
    await run('rm', ['-rf', temporary]);
    expect(left).toEqual([]);
  });

  it.each(['gzip', ...(hasZstd ? ['zstd'] : [])])(
    '(%s) is decompressed to a file that nothing leaves behind',
    async (kind) => {
      await withScratch(async (scratch) => {
        const bytes = await readFile(await layoutArchive(scratch));
        const file = path.join(scratch, 'layout.tar.z');
        await writeFile(file, kind === 'gzip' ? gzipSync(bytes) : zstdStored(bytes));
        const source = await openImageSource(`oci-archive:${file}`);
        const image = await resolveImage(source);
        const {
          path: where,
          offset,
          length,
        } = await source.locateBlob(image.layers[0]!.descriptor);
        expect(where).not.toBe(file);
        const blob = (await readFile(where)).subarray(offset, offset + length);
        expect(digestOf(blob)).toBe(image.layers[0]?.descriptor.digest);
        expect(await readdir(temporary)).toEqual([]);
        await source.close();
      });
    },
  );

  it('that is damaged, cut off or of another kind is told', async () => {
    await withScratch(async (scratch) => {
      const good = gzipSync(await readFile(await layoutArchive(scratch)));
      const damaged = Buffer.from(good);
      damaged.fill(0xff, 200, 400);
      const file = path.join(scratch, 'bad.tar.gz');
      for (const [bytes, wanted] of [
        [damaged, 'ERR_INVALID_GZIP'],
        [good.subarray(0, good.length - 100), 'ERR_TRUNCATED'],
        [Buffer.from('fd377a585a0000', 'hex'), 'ERR_UNKNOWN_COMPRESSION'],
        [Buffer.from('BZh9'), 'ERR_UNKNOWN_COMPRESSION'],
        [gzipSync('no tar'), 'ERR_TRUNCATED'],
        ...(hasZstd ? [] : [[zstdStored(good), 'ERR_UNSUPPORTED'] as const]),
      ] as const) {
        await writeFile(file, bytes);
        await expect(openImageSource(`oci-archive:${file}`)).rejects.toThrow(code(wanted));
        await expect(openImageSource(`oci-archive:${file}`)).rejects.toThrow(file);
      }
    });
  });

  it('that does not fit into $TMPDIR is told, and nothing is left', async (context) => {
    try {
      await run('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'none', temporary]);
    } catch {
      console.warn('skipped: a small tmpfs cannot be mounted here');
      context.skip();
    }
    try {
      await withScratch(async (scratch) => {
        const file = path.join(scratch, 'big.tar.gz');
        await writeFile(file, gzipSync(Buffer.alloc(2 ** 20)));
        await expect(openImageSource(`oci-archive:${file}`)).rejects.toMatchObject({
          code: 'ERR_NO_SPACE',
          message: expect.stringContaining(`needs about ${2 ** 20} bytes`),
          path: temporary,
        });
        // Of several members only the last is known before.
        await writeFile(file, Buffer.concat([gzipSync(Buffer.alloc(2 ** 20)), gzipSync('end')]));
        await expect(openImageSource(`oci-archive:${file}`)).rejects.toMatchObject({
          code: 'ERR_NO_SPACE',
          errno: 'ENOSPC',
          path: temporary,
        });
        expect(await readdir(temporary)).toEqual([]);
      });
    } finally {
      await run('umount', [temporary]);
    }
  });

  it('is not decompressed beyond maxRatio, and nothing is left', async () => {
    await withScratch(async (scratch) => {
      const file = path.join(scratch, 'big.tar.gz');
      await writeFile(file, gzipSync(Buffer.alloc(80 * 2 ** 20), { level: 1 }));
      await expect(openImageSource(`oci-archive:${file}`, { maxRatio: 100 })).rejects.toMatchObject(
        {
          code: 'ERR_LIMIT_EXCEEDED',
          message: expect.stringContaining('maxRatio'),
        },
      );
      expect(await readdir(temporary)).toEqual([]);
    });
  });

  it('stops when it is told to', async () => {
    await withScratch(async (scratch) => {
      const file = path.join(scratch, 'big.tar.gz');
      await writeFile(file, gzipSync(Buffer.alloc(64 * 2 ** 20), { level: 1 }));
      const work = openImageSource(`oci-archive:${file}`, { signal: AbortSignal.timeout(1) });
      await expect(work).rejects.toThrow(code('ERR_ABORTED'));
    });
  });
});
