// What skopeo writes, and what Python's tarfile packs, opens and resolves to the same image.

import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/index.js';
import { openImageSource, type ResolvedImage, resolveImage } from '../../src/source/index.js';
import { type WrittenLayout, writeLayout } from '../support/layout-builder.js';
import { withScratch } from '../support/scratch.js';
import { tar } from '../support/tar-builder.js';

const run = promisify(execFile);
const layers = ['a', 'b'].map((name) =>
  tar([{ type: 'file', path: name, content: name.repeat(70_000) }]),
);
const diffIDs = layers.map((layer) => digestOf(layer));

async function missing(command: string): Promise<boolean> {
  try {
    await run(command, ['--version']);
    return false;
  } catch {
    console.warn(`skipped: ${command} is not installed`);
    return true;
  }
}

const withoutSkopeo = await missing('skopeo');
const withoutPython = await missing('python3');

const skopeo = (...words: string[]) => run('skopeo', ['--insecure-policy', ...words]);

async function resolve(reference: string): Promise<ResolvedImage> {
  const source = await openImageSource(reference);
  try {
    const image = await resolveImage(source, { platform: 'linux/amd64' });
    for (const { descriptor } of image.layers) {
      expect((await source.locateBlob(descriptor)).length).toBe(descriptor.size);
    }
    expect(image.layers.map(({ diffID }) => diffID)).toEqual(diffIDs);
    return image;
  } finally {
    await source.close();
  }
}

async function withLayout(
  work: (layout: string, scratch: string, written: WrittenLayout) => Promise<void>,
) {
  await withScratch(async (scratch) => {
    const layout = path.join(scratch, 'layout');
    await work(layout, scratch, await writeLayout(layout, { images: [{ tag: 'latest', layers }] }));
  });
}

describe.skipIf(withoutSkopeo)('skopeo', () => {
  it('writes an oci layout that resolves to the same manifest', async () => {
    await withLayout(async (layout, scratch, { images }) => {
      const copy = path.join(scratch, 'copy');
      await skopeo('copy', '-q', `oci:${layout}:latest`, `oci:${copy}:some/name:1.0`);
      expect((await resolve(`oci:${copy}:some/name:1.0`)).manifestDigest).toBe(
        images[0]?.descriptor.digest,
      );
      const inspected = await skopeo('inspect', `oci:${copy}:some/name:1.0`);
      expect(JSON.parse(inspected.stdout).Digest).toBe(images[0]?.descriptor.digest);
    });
  });

  it('writes an oci-archive that resolves to the same manifest', async () => {
    await withLayout(async (layout, scratch, { images }) => {
      const archive = path.join(scratch, 'copy.tar');
      await skopeo('copy', '-q', `oci:${layout}:latest`, `oci-archive:${archive}:v1`);
      for (const suffix of ['', ':v1']) {
        const image = await resolve(`oci-archive:${archive}${suffix}`);
        expect(image.manifestDigest).toBe(images[0]?.descriptor.digest);
      }
    });
  });

  it('writes a docker-archive whose layers are plain tars', async () => {
    await withLayout(async (layout, scratch) => {
      const archive = path.join(scratch, 'copy.tar');
      await skopeo('copy', '-q', `oci:${layout}:latest`, `docker-archive:${archive}:team/app:v1`);
      for (const suffix of ['', ':team/app:v1', ':docker.io/team/app:v1', ':@0']) {
        const image = await resolve(`docker-archive:${archive}${suffix}`);
        expect(image.layers.map(({ descriptor }) => descriptor.digest)).toEqual(diffIDs);
        const inspected = await skopeo('inspect', '--raw', '--config', `docker-archive:${archive}`);
        expect(image.configDigest).toBe(digestOf(inspected.stdout));
      }
    });
  });

  it('writes zstd layers and Docker manifests into layouts', async () => {
    await withLayout(async (layout, scratch) => {
      const copy = path.join(scratch, 'copy');
      await skopeo(
        'copy',
        '-q',
        '--dest-compress-format',
        'zstd',
        '--dest-compress-level',
        '3',
        `oci:${layout}:latest`,
        `oci:${copy}:z`,
      );
      await resolve(`oci:${copy}:z`);
    });
  });

  it('reads what our builder writes: the builder is right', async () => {
    await withLayout(async (layout) => {
      const { stdout } = await skopeo('inspect', `oci:${layout}:latest`);
      expect(JSON.parse(stdout).Layers).toHaveLength(2);
    });
  });
});

describe.skipIf(withoutPython)("Python's tarfile", () => {
  let script: string;
  beforeAll(() => {
    script = [
      'import sys, tarfile',
      'kind, out, src = sys.argv[1:]',
      'fmt = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}[kind]',
      'mode = sys.argv[2].endswith(".gz") and "w:gz" or "w"',
      'with tarfile.open(out, mode, format=fmt) as archive: archive.add(src, arcname=".")',
    ].join('\n');
  });

  it.each([
    ['gnu', 'a.tar'],
    ['pax', 'a.tar'],
    ['ustar', 'a.tar'],
    ['pax', 'a.tar.gz'],
  ])('packs a layout (%s, %s)', async (format, name) => {
    await withLayout(async (layout, scratch, { images }) => {
      const archive = path.join(scratch, name);
      const pack = path.join(scratch, 'pack.py');
      await writeFile(pack, script);
      await run('python3', [pack, format, archive, layout]);
      const image = await resolve(`oci-archive:${archive}:latest`);
      expect(image.manifestDigest).toBe(images[0]?.descriptor.digest);
    });
  });
});
