import {
  access,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Format, ImageJson, UnpackProgress } from '../../src/index.js';
import { inspectImage, unpackImage } from '../../src/index.js';
import { digestOf } from '../../src/oci/index.js';
import { startCommand } from '../support/command.js';
import { unpack } from '../support/image.js';
import { dumpImage } from '../support/mount.js';
import { scratchRoot, withScratch } from '../support/scratch.js';
import { dir, file, type TarItem, tar, whiteout } from '../support/tar-builder.js';
import { compareTrees } from '../support/tree.js';
import { dumpTree } from '../support/tree-dump.js';
import { writeImage } from '../support/write-image.js';

const bottom: TarItem[] = [dir('etc'), file('etc/hosts', 'localhost\n'), file('etc/old', 'old')];
const middle: TarItem[] = [whiteout('etc/old'), file('etc/new', 'new', { mode: 0o4755 })];
const top: TarItem[] = [dir('srv', { mode: 0o2775, gid: 50 }), file('srv/data', 'data')];
const layers = [bottom, middle, top];

const slowLayers = new Map<number, Buffer>();

/** Many small files: work that takes long enough to be stopped in the middle. */
function slowLayer(files: number): Buffer {
  const made = slowLayers.get(files) ?? makeSlowLayer(files);
  slowLayers.set(files, made);
  return made;
}

function makeSlowLayer(files: number): Buffer {
  const items: TarItem[] = [];
  for (let index = 0; index < files; index++) {
    if (index % 100 === 0) {
      items.push(dir(`d${index / 100}`));
    }
    items.push(file(`d${Math.floor(index / 100)}/f${index}`, `content of file ${index}`));
  }
  return tar(items);
}

let layouts: string;
const slowImages = new Map<number, Promise<string>>();

beforeAll(async () => {
  layouts = await mkdtemp(path.join(scratchRoot, 'oci-unpack-test-'));
});
afterAll(() => rm(layouts, { recursive: true, force: true }));

/** An image with such a layer as its second one, for all tests that only read it. */
function slowImage(files: number): Promise<string> {
  const make = () =>
    writeImage(path.join(layouts, String(files)), [bottom, slowLayer(files)], ['gzip']);
  const made = slowImages.get(files) ?? make();
  slowImages.set(files, made);
  return made;
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

/** No half layer: each layer that is there is whole, and the staging area is gone. */
async function expectWholeLayers(dest: string): Promise<number> {
  const names = await readdir(dest).catch((): string[] => []);
  if (names.length === 0) {
    return 0;
  }
  expect(await exists(path.join(dest, '.oci-unpack/staging'))).toBe(false);
  const whole = names.includes('layers') ? await readdir(path.join(dest, 'layers')) : [];
  for (const name of whole) {
    expect((await readdir(path.join(dest, 'layers', name))).sort()).toEqual([
      'fs',
      'layer.json',
      'tree.idx',
    ]);
  }
  return whole.length;
}

describe('a whole image', () => {
  test('leaves the layers, their reports and image.json', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const dest = path.join(scratch, 'dest');
      const report = await unpack(reference, dest);
      expect(report).toMatchObject({
        reference,
        platform: 'linux/amd64',
        format: 'overlay',
        status: 'unpacked',
        destination: dest,
        reusedLayers: 0,
        warnings: [],
      });
      expect(report.milliseconds).toBeGreaterThan(0);
      const info = await inspectImage(reference, { platform: 'linux/amd64' });
      expect(report.manifestDigest).toBe(info.manifestDigest);
      expect(report.configDigest).toBe(info.configDigest);
      const tars = layers.map((items) => tar(items));
      for (const [index, layer] of report.layers.entries()) {
        const { mediaType, digest, size, chainID } = info.layers[index] ?? {};
        expect(layer).toMatchObject({
          mediaType,
          digest,
          size,
          chainID,
          diffID: digestOf(tars[index] ?? Buffer.alloc(0)),
          uncompressedSize: tars[index]?.length,
          path: `layers/00${index}/fs`,
          replanned: false,
          warnings: [],
        });
        expect(layer.counts.entries).toBe(layers[index]?.length);
      }
      expect(report.layers.map(({ compression }) => compression)).toEqual(['none', 'gzip', 'zstd']);
      expect(report.layers[0]?.counts).toMatchObject({ files: 2, directories: 1, bytes: 13 });
      expect(report.layers[1]?.counts).toMatchObject({ files: 1, whiteouts: 1, bytes: 3 });
      expect((await readdir(dest)).sort()).toEqual(['.oci-unpack', 'image.json', 'layers']);
      expect((await readdir(path.join(dest, '.oci-unpack'))).sort()).toEqual([
        'lock',
        'state.json',
      ]);
      expect((await stat(dest)).mode & 0o7777).toBe(0o700);
      await expectWholeLayers(dest);
    });
  });

  test('image.json has the shape of docs/image-json.md', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const dest = path.join(scratch, 'dest');
      const report = await unpack(reference, dest);
      const json = JSON.parse(await readFile(path.join(dest, 'image.json'), 'utf8')) as ImageJson;
      expect(Object.keys(json)).toEqual([
        'reference',
        'manifestDigest',
        'configDigest',
        'platform',
        'format',
        'layers',
        'mounts',
        'warnings',
      ]);
      const lowers = [2, 1, 0].map((index) => `${dest}/layers/00${index}/fs`);
      expect(json.mounts).toEqual([
        { type: 'overlay', source: 'overlay', options: [`lowerdir=${lowers.join(':')}`] },
      ]);
      expect(json.layers).toEqual(report.layers.map(({ warnings: _, ...layer }) => layer));
      const page = await readFile('docs/image-json.md', 'utf8');
      for (const key of [...Object.keys(json), ...Object.keys(json.layers[0] ?? {})]) {
        expect(page).toContain(`| \`${key}\` |`);
      }
    });
  });

  test('in every order and degree of parallelism the same trees', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const one = await unpack(reference, path.join(scratch, 'one'), { concurrency: 1 });
      for (const concurrency of [2, 8]) {
        const other = await unpack(reference, path.join(scratch, `c${concurrency}`), {
          concurrency,
        });
        for (const layer of one.layers) {
          const trees = [one, other].map(({ destination }) =>
            dumpTree(`${destination}/${layer.path}`),
          );
          const [expected = new Map(), actual = new Map()] = await Promise.all(trees);
          expect(compareTrees(expected, actual)).toEqual([]);
        }
      }
    });
  });

  test('flat has one tree in rootfs', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const dest = path.join(scratch, 'dest');
      const report = await unpack(reference, dest, { format: 'flat' });
      expect((await readdir(dest)).sort()).toEqual(['.oci-unpack', 'image.json', 'rootfs']);
      expect(report.layers.map((layer) => layer.path)).toEqual(['rootfs', 'rootfs', 'rootfs']);
      expect((await readdir(path.join(dest, 'rootfs/etc'))).sort()).toEqual(['hosts', 'new']);
      const again = await unpack(reference, dest, { format: 'flat' });
      expect(again.status).toBe('confirmed');
      expect(again.layers).toEqual(report.layers);
    });
  });

  test('an image without layers', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), []);
      for (const format of ['overlay', 'flat'] as const) {
        const report = await unpack(reference, path.join(scratch, format), { format });
        expect(report.layers).toEqual([]);
      }
    });
  });

  test('the same layer twice', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(
        path.join(scratch, 'layout'),
        [bottom, top, top],
        ['gzip'],
      );
      const dest = path.join(scratch, 'dest');
      const report = await unpack(reference, dest);
      expect(report.layers[1]?.digest).toBe(report.layers[2]?.digest);
      expect(report.layers[1]?.chainID).not.toBe(report.layers[2]?.chainID);
      expect(await expectWholeLayers(dest)).toBe(3);
    });
  });
});

describe('a destination that is not empty', () => {
  test('is confirmed when it is finished, also at another place', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const dest = path.join(scratch, 'dest');
      const first = await unpack(reference, dest);
      const inode = (await stat(path.join(dest, 'layers/000/fs'))).ino;
      const moved = path.join(scratch, 'moved');
      await rename(dest, moved);
      const second = await unpack(reference, moved);
      expect(second).toMatchObject({ status: 'confirmed', reusedLayers: 3 });
      expect(second.layers).toEqual(first.layers);
      expect(second.mounts[0]?.options[0]).toContain(`${moved}/layers/002/fs:`);
      expect((await stat(path.join(moved, 'layers/000/fs'))).ino).toBe(inode);
      const json = JSON.parse(await readFile(path.join(moved, 'image.json'), 'utf8')) as ImageJson;
      expect(json.mounts).toEqual(second.mounts);
    });
  });

  test.each(['image.json', 'layers/002', 'layers/000', 'layers/001/tree.idx', 'layers/001/fs'])(
    'is completed when %s is missing',
    async (missing) => {
      await withScratch(async (scratch) => {
        const reference = await writeImage(path.join(scratch, 'layout'), layers);
        const dest = path.join(scratch, 'dest');
        const first = await unpack(reference, dest);
        const before = await dumpImage(first);
        await rm(path.join(dest, missing), { recursive: true });
        const second = await unpack(reference, dest);
        expect(second.status).toBe('completed');
        expect(second.reusedLayers).toBe(
          missing === 'image.json' ? 3 : Number(missing.slice(7, 10)),
        );
        expect(compareTrees(before, await dumpImage(second))).toEqual([]);
        expect(await expectWholeLayers(dest)).toBe(3);
      });
    },
  );

  test('is refused with files of others, which stay', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const dest = path.join(scratch, 'dest');
      await mkdir(dest);
      await writeFile(path.join(dest, 'precious'), 'data');
      await expect(unpack(reference, dest)).rejects.toMatchObject({
        code: 'ERR_DESTINATION_NOT_EMPTY',
        path: dest,
      });
      expect(await readdir(dest)).toEqual(['precious']);
    });
  });

  test('is made anew where an unpack with other policies was interrupted', async () => {
    await withScratch(async (scratch) => {
      const marked = [bottom, [file('x', '', { xattrs: { 'user.overlay.x': 'y' } })]];
      const reference = await writeImage(path.join(scratch, 'layout'), marked);
      const dest = path.join(scratch, 'dest');
      await unpack(reference, dest);
      await rm(path.join(dest, 'image.json'));
      const report = await unpack(reference, dest, { policies: { overlayXattrs: 'strip' } });
      expect(report).toMatchObject({ status: 'unpacked', reusedLayers: 0 });
      expect(report.warnings.map(({ kind }) => kind)).toEqual(['xattr-dropped']);
      expect(await expectWholeLayers(dest)).toBe(2);
    });
  });

  test('is refused with another image, format or policies, and stays', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const other = await writeImage(path.join(scratch, 'other'), [bottom]);
      const dest = path.join(scratch, 'dest');
      await unpack(reference, dest);
      const code = 'ERR_DESTINATION_NOT_EMPTY';
      await expect(unpack(other, dest)).rejects.toMatchObject({ code });
      await expect(unpack(reference, dest, { format: 'flat' })).rejects.toMatchObject({ code });
      const policies = { xattrs: 'best-effort' } as const;
      await expect(unpack(reference, dest, { policies })).rejects.toMatchObject({ code });
      expect((await unpack(reference, dest)).status).toBe('confirmed');
    });
  });

  test('is refused when it is a file', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const dest = path.join(scratch, 'dest');
      await writeFile(dest, '');
      await expect(unpack(reference, dest)).rejects.toMatchObject({
        name: 'UnpackError',
        path: dest,
      });
    });
  });

  test('is busy while another call works on it', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const dest = path.join(scratch, 'dest');
      const results = await Promise.allSettled([1, 2, 3].map(() => unpack(reference, dest)));
      const failed = results.filter((result) => result.status === 'rejected');
      expect(failed.length).toBeGreaterThan(0);
      expect(failed.length).toBeLessThan(3);
      for (const { reason } of failed) {
        expect(reason).toMatchObject({ code: 'ERR_DESTINATION_BUSY' });
      }
      expect((await unpack(reference, dest)).status).toBe('confirmed');
    });
  });
});

describe('a failed layer', () => {
  test('leaves the whole layers below it, and the next call goes on from there', async () => {
    await withScratch(async (scratch) => {
      const layout = path.join(scratch, 'layout');
      const reference = await writeImage(layout, [bottom, middle, slowLayer(20_000)], ['none']);
      const info = await inspectImage(reference, { platform: 'linux/amd64' });
      const blob = path.join(layout, 'blobs', (info.layers[2]?.digest ?? '').replace(':', '/'));
      const bytes = await readFile(blob);
      const wrong = Buffer.from(bytes);
      wrong[bytes.length - 1] = 1; // after the end of the tar: found only by the digests
      await writeFile(blob, wrong);
      const dest = path.join(scratch, 'dest');
      await expect(unpack(reference, dest)).rejects.toMatchObject({
        code: 'ERR_DIGEST_MISMATCH',
        layer: info.layers[2]?.digest,
      });
      expect(await expectWholeLayers(dest)).toBe(2);
      await writeFile(blob, bytes);
      const report = await unpack(reference, dest);
      expect(report).toMatchObject({ status: 'completed', reusedLayers: 2 });
      expect(await expectWholeLayers(dest)).toBe(3);
    });
  });

  test('leaves nothing where no layer is whole, but a directory that was there', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), [Buffer.from('no tar')]);
      const dest = path.join(scratch, 'dest');
      await expect(unpack(reference, dest)).rejects.toMatchObject({ name: 'UnpackError' });
      expect(await exists(dest)).toBe(false);
      await mkdir(dest);
      await expect(unpack(reference, dest)).rejects.toMatchObject({ name: 'UnpackError' });
      expect(await readdir(dest)).toEqual([]);
    });
  });
});

describe('stopping', () => {
  test.each<Format>(['overlay', 'flat'])(
    'an abort signal leaves nothing half (%s)',
    async (format) => {
      await withScratch(async (scratch) => {
        const reference = await slowImage(20_000);
        const dest = path.join(scratch, 'dest');
        const controller = new AbortController();
        const reason = new Error('enough');
        const unpacking = unpack(reference, dest, {
          format,
          signal: controller.signal,
          onProgress: ({ entries }) => {
            if (entries > 100) {
              controller.abort(reason);
            }
          },
        });
        await expect(unpacking).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: reason });
        await expectWholeLayers(dest);
        expect(await exists(path.join(dest, 'image.json'))).toBe(false);
        expect((await unpack(reference, dest, { format })).layers).toHaveLength(2);
      });
    },
  );

  test('a signal that has fired before: nothing is touched', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const dest = path.join(scratch, 'dest');
      const signal = AbortSignal.abort();
      await expect(unpack(reference, dest, { signal })).rejects.toMatchObject({
        code: 'ERR_ABORTED',
      });
      expect(await exists(dest)).toBe(false);
    });
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends the command with %d after it has cleaned up', async (name, code) => {
    await withScratch(async (scratch) => {
      const reference = await slowImage(30_000);
      const dest = path.join(scratch, 'dest');
      const command = startCommand(['unpack', reference, dest, '-p', 'linux/amd64']);
      await untilWriting(dest);
      command.process.kill(name);
      const result = await command.result;
      expect(result).toMatchObject({ code, stdout: '' });
      expect(result.stderr).toMatch(/^oci-unpack: ERR_ABORTED: /);
      await expectWholeLayers(dest);
      expect(await exists(path.join(dest, 'layers/001'))).toBe(false);
      expect((await unpack(reference, dest)).layers).toHaveLength(2);
    });
  });

  test('kill -9 leaves no half layer, and the next call removes the rest and completes', async () => {
    await withScratch(async (scratch) => {
      const reference = await slowImage(30_000);
      const dest = path.join(scratch, 'dest');
      const command = startCommand(['unpack', reference, dest, '-p', 'linux/amd64']);
      await untilWriting(dest);
      command.process.kill('SIGKILL');
      expect((await command.result).code).toBe(null);
      expect(await exists(path.join(dest, 'layers/001'))).toBe(false);
      expect(await exists(path.join(dest, 'image.json'))).toBe(false);
      const report = await unpack(reference, dest);
      expect(report.status).toBe('completed');
      expect(await expectWholeLayers(dest)).toBe(2);
    });
  });
});

/** Waits until the second layer's staging directory has files. */
async function untilWriting(dest: string): Promise<void> {
  const staged = path.join(dest, '.oci-unpack/staging/001/fs');
  for (let tries = 0; (await readdir(staged).catch(() => [])).length < 2; tries++) {
    if (tries > 20_000) {
      throw new Error('nothing was written');
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

test('progress grows, is sampled at most 20 times a second, and ends with everything', async () => {
  await withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), [bottom, slowLayer(5000)]);
    const seen: UnpackProgress[] = [];
    const started = performance.now();
    const report = await unpack(reference, path.join(scratch, 'dest'), {
      onProgress: (progress) => seen.push(progress),
    });
    const seconds = (performance.now() - started) / 1000;
    expect(seen.length).toBeLessThanOrEqual(seconds * 20 + 2);
    for (const [index, progress] of seen.entries()) {
      expect(progress.bytesIn).toBeGreaterThanOrEqual(seen[index - 1]?.bytesIn ?? 0);
      expect(progress.entries).toBeGreaterThanOrEqual(seen[index - 1]?.entries ?? 0);
    }
    const last = seen.at(-1);
    expect(last?.size).toBe(report.layers.reduce((sum, layer) => sum + layer.size, 0));
    expect(last).toMatchObject({ bytesIn: last?.size });
    expect(last?.layers.map(({ phase }) => phase)).toEqual(['done', 'done']);
    expect(last?.layers.map(({ entries }) => entries)).toEqual([3, 5050]);
  });
});

test('wrong references and platforms', async () => {
  await withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), layers);
    const dest = path.join(scratch, 'dest');
    await expect(unpackImage('nonsense:///', dest)).rejects.toMatchObject({
      code: 'ERR_INVALID_REFERENCE',
    });
    await expect(unpackImage(`oci:${scratch}/none`, dest)).rejects.toMatchObject({
      code: 'ERR_NOT_FOUND',
    });
    await expect(unpackImage(`${reference}x`, dest)).rejects.toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });
    await expect(unpackImage(reference, dest, { platform: 'linux/s390x' })).rejects.toMatchObject({
      code: 'ERR_PLATFORM_NOT_FOUND',
    });
    expect(await exists(dest)).toBe(false);
  });
});
