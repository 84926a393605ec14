import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { digestOf, mediaTypes } from '../../src/oci/index.js';
import { type ImageSource, openImageSource } from '../../src/source/index.js';
import { type LayoutOptions, type WrittenLayout, writeLayout } from '../support/layout-builder.js';
import { withScratch } from '../support/scratch.js';
import { tar } from '../support/tar-builder.js';

const run = promisify(execFile);
const layer = tar([{ type: 'file', path: 'a', content: 'a' }]);
const other = tar([{ type: 'file', path: 'b', content: 'b' }]);
const code = (wanted: string) => expect.objectContaining({ code: wanted });

/** Writes a layout and works on it as a directory and as an archive. */
async function withLayout(
  options: LayoutOptions,
  work: (
    open: (suffix?: string) => Promise<ImageSource>,
    layout: WrittenLayout,
    directory: string,
  ) => Promise<void>,
  tamper?: (directory: string) => Promise<void>,
): Promise<void> {
  for (const transport of ['oci', 'oci-archive'] as const) {
    await withScratch(async (scratch) => {
      const directory = path.join(scratch, 'layout');
      const layout = await writeLayout(directory, options);
      await tamper?.(directory);
      let target = directory;
      if (transport === 'oci-archive') {
        target = path.join(scratch, 'layout.tar');
        await run('tar', ['-C', directory, '-cf', target, '.']);
      }
      const opened: ImageSource[] = [];
      const open = async (suffix = '') => {
        const source = await openImageSource(`${transport}:${target}${suffix}`);
        opened.push(source);
        expect(source.transport).toBe(transport);
        expect(source.reference).toBe(`${transport}:${target}${suffix}`);
        return source;
      };
      try {
        await work(open, layout, directory);
      } finally {
        await Promise.all(opened.map((source) => source.close()));
      }
    });
  }
}

const two = {
  images: [
    { tag: 'one', layers: [layer] },
    { tag: 'two:with-colon', layers: [other] },
  ],
};

describe('the tag', () => {
  it('is told of at most fifty of many images', async () => {
    await withScratch(async (scratch) => {
      const manifests = Array.from({ length: 20_000 }, (_, n) => ({
        mediaType: mediaTypes.ociManifest,
        digest: `sha256:${n.toString(16).padStart(64, '0')}`,
        size: 1,
        annotations: { 'org.opencontainers.image.ref.name': `tag${n}` },
      }));
      await writeFile(path.join(scratch, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
      const index = JSON.stringify({ schemaVersion: 2, manifests });
      await writeFile(path.join(scratch, 'index.json'), index);
      const source = await openImageSource(`oci:${scratch}`);
      await expect(source.resolve()).rejects.toThrow(/tag49 and 19950 more$/);
    });
  });

  it('is not needed for the only image', async () => {
    await withLayout({ images: [{ tag: 'latest', layers: [layer] }] }, async (open, { images }) => {
      const { digest, size, mediaType } = images[0]!.descriptor;
      expect(await (await open()).resolve()).toMatchObject({ digest, size, mediaType });
      expect((await (await open(':latest')).resolve()).digest).toBe(digest);
      expect((await (await open(':@0')).resolve()).digest).toBe(digest);
    });
  });

  it('chooses one of several, and may contain a colon', async () => {
    await withLayout(two, async (open, { images }) => {
      expect((await (await open(':one')).resolve()).digest).toBe(images[0]?.descriptor.digest);
      expect((await (await open(':two:with-colon')).resolve()).digest).toBe(
        images[1]?.descriptor.digest,
      );
      expect((await (await open(':@1')).resolve()).digest).toBe(images[1]?.descriptor.digest);
    });
  });

  it('is asked for with the names that there are', async () => {
    await withLayout(two, async (open) => {
      const source = await open();
      await expect(source.resolve()).rejects.toThrow(code('ERR_AMBIGUOUS_REFERENCE'));
      await expect(source.resolve()).rejects.toThrow(
        /2 images fit; append one of :one, :two:with-colon$/,
      );
    });
  });

  it('that is not there is answered with the names that are', async () => {
    await withLayout(two, async (open) => {
      for (const suffix of [':three', ':@2', ':ONE']) {
        const source = await open(suffix);
        await expect(source.resolve()).rejects.toThrow(code('ERR_IMAGE_NOT_FOUND'));
        await expect(source.resolve()).rejects.toThrow(/it has :one, :two:with-colon$/);
      }
    });
  });

  it('of two images is ambiguous, and :@N tells them apart', async () => {
    const images = [
      { tag: 'same', layers: [layer] },
      { tag: 'same', layers: [other] },
    ];
    await withLayout({ images }, async (open) => {
      const source = await open(':same');
      await expect(source.resolve()).rejects.toThrow(code('ERR_AMBIGUOUS_REFERENCE'));
      await expect(source.resolve()).rejects.toThrow(':@0, :@1');
      await (await open(':@1')).resolve();
    });
  });

  it('twice for one and the same image is no choice', async () => {
    const images = [
      { tag: 'a', layers: [layer] },
      { tag: 'b', layers: [layer] },
    ];
    await withLayout({ images }, async (open, layout) => {
      expect((await (await open()).resolve()).digest).toBe(layout.images[0]?.descriptor.digest);
    });
  });

  it('may be the full name that containerd and Docker write', async () => {
    const images = [
      {
        tag: '12',
        layers: [layer],
        descriptor: (it: object) =>
          Object.assign(it, {
            annotations: {
              'org.opencontainers.image.ref.name': '12',
              'io.containerd.image.name': 'docker.io/library/debian:12',
            },
          }),
      },
      { tag: 'other', layers: [other] },
    ];
    await withLayout({ images }, async (open, layout) => {
      for (const name of [':debian:12', ':docker.io/library/debian:12', ':12']) {
        expect((await (await open(name)).resolve()).digest).toBe(
          layout.images[0]?.descriptor.digest,
        );
      }
      await expect((await open(':debian:13')).resolve()).rejects.toThrow(
        code('ERR_IMAGE_NOT_FOUND'),
      );
    });
  });

  it('is told of an empty layout', async () => {
    await withLayout({ images: [] }, async (open) => {
      await expect((await open()).resolve()).rejects.toThrow(code('ERR_IMAGE_NOT_FOUND'));
      await expect((await open(':x')).resolve()).rejects.toThrow('no image at all');
    });
  });
});

describe('index.json', () => {
  it('that lists the platforms of one image is its index', async () => {
    const images = ['linux/amd64', 'linux/arm64'].map((platform) => ({
      tag: 'a',
      platform,
      layers: [layer],
    }));
    await withLayout({ images }, async (open) => {
      const source = await open(':a');
      const root = await source.resolve();
      expect(root.mediaType).toBe(mediaTypes.ociIndex);
      const bytes = await source.readBlob(root);
      expect(digestOf(bytes)).toBe(root.digest);
      expect(bytes.length).toBe(root.size);
    });
  });

  it('may list signatures and other artifacts beside an image', async () => {
    const options: LayoutOptions = {
      images: [
        { layers: [layer] },
        {
          layers: [other],
          descriptor: (it) => Object.assign(it, { artifactType: 'application/x.sbom' }),
        },
      ],
    };
    await withLayout(options, async (open, { images }) => {
      expect((await (await open()).resolve()).digest).toBe(images[0]?.descriptor.digest);
    });
  });

  it.each([
    [
      'is missing',
      (directory: string) => rm(path.join(directory, 'index.json')),
      'ERR_INVALID_IMAGE',
      'index.json is missing',
    ],
    [
      'is empty',
      (directory: string) => truncate(path.join(directory, 'index.json')),
      'ERR_INVALID_IMAGE',
      'index.json: is not valid JSON',
    ],
    [
      'has 9 MiB',
      (directory: string) => writeFile(path.join(directory, 'index.json'), ' '.repeat(9 * 2 ** 20)),
      'ERR_LIMIT_EXCEEDED',
      'index.json: has 9437184 bytes',
    ],
    [
      'has a bad digest',
      (directory: string) =>
        writeFile(
          path.join(directory, 'index.json'),
          '{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"sha256:/etc/passwd","size":1}]}',
        ),
      'ERR_INVALID_IMAGE',
      'index.json: manifests[0].digest: "sha256:/etc/passwd"',
    ],
  ])('that %s is told', async (_, tamper, wanted, message) => {
    await withLayout(
      two,
      async (open) => {
        const source = await open();
        await expect(source.resolve()).rejects.toThrow(code(wanted));
        await expect(source.resolve()).rejects.toThrow(message);
      },
      tamper,
    );
  });
});

describe('oci-layout', () => {
  it.each([
    [false, 'the file oci-layout is missing'],
    [{ imageLayoutVersion: '2.0.0' }, 'imageLayoutVersion: "2.0.0" is unknown'],
    [{}, 'imageLayoutVersion: is missing'],
    ['no JSON', 'oci-layout: is not valid JSON'],
  ])('%j is told', async (ociLayout, message) => {
    await withLayout({ images: [], ociLayout }, async (open) => {
      const source = await open();
      await expect(source.resolve()).rejects.toThrow(code('ERR_INVALID_IMAGE'));
      await expect(source.resolve()).rejects.toThrow(message);
    });
  });
});

describe('blobs', () => {
  const one: LayoutOptions = { images: [{ layers: [layer] }] };

  it('are located where their bytes are', async () => {
    await withLayout(one, async (open, { images }) => {
      const { layers, blobs } = images[0]!;
      const { path: file, offset, length } = await (await open()).locateBlob(layers[0]!);
      expect(path.isAbsolute(file)).toBe(true);
      expect((await readFile(file)).subarray(offset, offset + length)).toEqual(blobs[0]);
    });
  });

  it('that are missing, too long or damaged are told', async () => {
    await withLayout(one, async (open, { images }) => {
      const source = await open();
      const { descriptor, layers } = images[0]!;
      const lost = { ...layers[0]!, digest: digestOf('lost') };
      await expect(source.locateBlob(lost)).rejects.toThrow(code('ERR_BLOB_NOT_FOUND'));
      await expect(source.locateBlob(lost)).rejects.toThrow(digestOf('lost'));
      const longer = { ...descriptor, size: descriptor.size + 1 };
      await expect(source.readBlob(longer)).rejects.toThrow(code('ERR_SIZE_MISMATCH'));
      await expect(source.locateBlob(longer)).rejects.toThrow(`descriptor says ${longer.size}`);
      const huge = { ...descriptor, size: 2 ** 40 };
      await expect(source.readBlob(huge)).rejects.toThrow(code('ERR_LIMIT_EXCEEDED'));
      await expect(
        source.locateBlob({ ...descriptor, digest: 'sha256:../../index.json' }),
      ).rejects.toThrow(code('ERR_INVALID_ARGUMENT'));
    });
    const damage = async (directory: string) => {
      const { manifests } = JSON.parse(await readFile(path.join(directory, 'index.json'), 'utf8'));
      const blob = path.join(directory, 'blobs/sha256', manifests[0].digest.slice(7));
      const bytes = await readFile(blob);
      bytes[0] = 0x20;
      await writeFile(blob, bytes);
    };
    await withLayout(
      one,
      async (open, { images }) => {
        await expect((await open()).readBlob(images[0]!.descriptor)).rejects.toThrow(
          code('ERR_DIGEST_MISMATCH'),
        );
      },
      damage,
    );
  });

  it('may be symlinks, but nothing other than files', async () => {
    await withScratch(async (scratch) => {
      const directory = path.join(scratch, 'layout');
      const { images } = await writeLayout(directory, one);
      const { descriptor } = images[0]!;
      const blob = path.join(directory, 'blobs/sha256', descriptor.digest.slice(7));
      await rename(blob, path.join(scratch, 'elsewhere'));
      await symlink(path.join(scratch, 'elsewhere'), blob);
      const source = await openImageSource(`oci:${directory}`);
      await source.readBlob(descriptor);
      await rm(blob);
      await run('mkfifo', [blob]);
      await expect(source.readBlob(descriptor)).rejects.toThrow('is not a regular file');
      await rm(blob);
      await mkdir(blob);
      await expect(source.readBlob(descriptor)).rejects.toThrow(code('ERR_INVALID_IMAGE'));
    });
  });
});
