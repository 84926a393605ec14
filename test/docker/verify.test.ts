// The store of a real Docker: loaded and built layers are clean; damages are found by their names, and nothing else.

import { execFile } from 'node:child_process';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { Crc64 } from '../../src/docker/crc64.js';
import { dockerRepairScript } from '../../src/docker/repair-script.js';
import { type DockerVerification, verifyDocker } from '../../src/docker/verify.js';
import { type ParentLayer, unpackLayer } from '../../src/index.js';
import { chainID, digestOf } from '../../src/oci/index.js';
import { type DamageKind, Damager, damageKinds } from '../support/damage.js';
import { damageLayers } from '../support/damage-image.js';
import { type DamagedLayer, DamageRound } from '../support/damage-rounds.js';
import { noDocker, type TestDocker, withDocker } from '../support/docker.js';
import { isRoot } from '../support/ids.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, hardlink, symlink, type TarItem, tar } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const run = promisify(execFile);
const rounds = Number(process.env.ROUNDS ?? (process.env.SOAK === '1' ? 50 : 3));
const code = (wanted: string) => expect.objectContaining({ code: wanted });
const marks: DamageKind[] = [
  'leaked-opaque',
  'lost-opaque',
  'lost-whiteout',
  'stray-whiteout',
  'foreign-marker',
];

describe.skipIf(noDocker)(`a real Docker ${noDocker ?? ''}`, () => {
  it('is clean, and every damage to it is found by its name', { timeout: 900_000 }, async () => {
    await withDocker(async (docker) => {
      await fill(docker);
      const clean = await verifyDocker({ root: docker.root });
      expect(findingsOf(clean)).toEqual([]);
      expect(clean.report.notes).toEqual([]);
      expect(clean.report).toMatchObject({ ok: true, kind: 'docker' });
      expect(clean.report.images.map(({ name }) => name)).toEqual([
        'built:latest',
        'damage:latest',
      ]);
      expect(clean.report.snapshots.map(({ source }) => source)).toEqual(Array(4).fill('manifest'));
      const layers = await layersOf(clean, 'damage:latest');
      const done = new Set<string>();
      for (let seed = 1; seed <= rounds; seed++) {
        const round = await DamageRound.of(layers, seed);
        const found = findingsOf(await verifyDocker({ root: docker.root }));
        expect(round.compare(found), `seed ${seed}`).toEqual([]);
        for (const { damage } of round.damages) {
          done.add(damage.kind);
        }
        await round.undo();
      }
      expect([...done].sort()).toEqual([...damageKinds].sort());
      expect(findingsOf(await verifyDocker({ root: docker.root, image: 'damage' }))).toEqual([]);
      await expect(verifyDocker({ root: docker.root, image: 'other' })).rejects.toThrow(
        code('ERR_IMAGE_NOT_FOUND'),
      );
    });
  });

  it('has its marks repaired by the script', async () => {
    await withDocker(async (docker) => {
      await fill(docker);
      const layers = await layersOf(await verifyDocker({ root: docker.root }), 'damage:latest');
      await DamageRound.of(layers, 1, marks);
      const verification = await verifyDocker({ root: docker.root });
      expect(verification.report.ok).toBe(false);
      const file = path.join(path.dirname(docker.root), 'repair.sh');
      await writeFile(file, await dockerRepairScript(verification));
      await run('sh', [file], { env: { ...process.env, DOCKER: docker.command } });
      expect(findingsOf(await verifyDocker({ root: docker.root }))).toEqual([]);
      // More than marks: the image must be loaded again, which only its owner can.
      await DamageRound.of(layers, 2, ['zero-length']);
      const script = await dockerRepairScript(await verifyDocker({ root: docker.root }));
      expect(script).toContain('\nremove built:latest\nremove damage:latest\npull built:latest\n');
      const { report, images } = await verifyDocker({ root: docker.root, image: 'damage' });
      expect(report.images.map(({ name }) => name)).toEqual(['damage:latest']);
      expect(images.map(({ names, parent }) => [names, parent])).toEqual([
        [['built:latest'], images[1]?.id],
        [['damage:latest'], undefined],
      ]);
    });
  });

  it('is audited by the rules of structure where there is no tar-split', async () => {
    await withDocker(async (docker) => {
      await fill(docker);
      const layerdb = path.join(docker.root, 'image/overlay2/layerdb/sha256');
      for (const name of await readdir(layerdb)) {
        await rm(path.join(layerdb, name, 'tar-split.json.gz'));
      }
      const clean = await verifyDocker({ root: docker.root });
      expect(findingsOf(clean)).toEqual([]);
      expect(clean.report.notes.join()).toContain('only its marks could be checked');
      expect(new Set(clean.report.snapshots.map(({ source }) => source))).toEqual(
        new Set(['structure']),
      );
      const layers = await layersOf(clean, 'damage:latest');
      // The bug: opaque in layer 2 what is opaque in layer 1, and hides what that has.
      const [, middle, top] = layers as [DamagedLayer, DamagedLayer, DamagedLayer];
      await mkdir(path.join(top.directory, 'd3'));
      await run('setfattr', ['-n', 'trusted.overlay.opaque', '-v', 'y', `${top.directory}/d3`]);
      const { report } = await verifyDocker({ root: docker.root });
      expect(findingsOf({ report })).toMatchObject([
        { kind: 'leaked-opaque', path: 'd3', directory: top.directory },
      ]);
      const hidden = report.snapshots.find((one) => one.directory === top.directory)?.hidden;
      expect(hidden?.paths[0]).toBe('d3/inner');
      expect(hidden?.total).toBe((await readdir(`${middle.directory}/d3/inner`)).length + 3);
      await rm(path.join(top.directory, 'd3'), { recursive: true });
      const round = await DamageRound.of(layers, 1, ['stray-whiteout', 'foreign-marker']);
      const found = findingsOf(await verifyDocker({ root: docker.root }));
      expect(found.map(({ kind }) => kind)).toContain('foreign-marker');
      expect(
        found.filter(({ kind }) => !round.damages.some((one) => one.damage.kind === kind)),
      ).toEqual([]);
    });
  });

  it('tells damaged metadata', async () => {
    await withDocker(async (docker) => {
      await fill(docker);
      const { report } = await verifyDocker({ root: docker.root });
      const top = report.images.find(({ name }) => name === 'built:latest')?.layers.at(-1) ?? '';
      const layer = path.join(
        docker.root,
        'image/overlay2/layerdb/sha256',
        top.replace('sha256:', ''),
      );
      await writeFile(path.join(layer, 'tar-split.json.gz'), 'no gzip');
      const other = await verifyDocker({ root: docker.root });
      expect(other.report.ok).toBe(true);
      expect(other.report.notes.join()).toContain('no valid gzip');
      expect(other.report.snapshots.map(({ source }) => source).sort()).toEqual([
        'manifest',
        'manifest',
        'manifest',
        'structure',
      ]);
      await writeFile(path.join(layer, 'parent'), `sha256:${'0'.repeat(64)}`);
      const { notes } = (await verifyDocker({ root: docker.root })).report;
      expect(notes.join()).toContain('on top of another one');
      await writeFile(path.join(layer, 'cache-id'), '../../../etc');
      await expect(verifyDocker({ root: docker.root })).rejects.toThrow(code('ERR_INVALID_STORE'));
    });
  });
});

/** A Docker's root with an image of these layers, none of whose files holds anything. */
async function writeRoot(root: string, layers: readonly TarItem[][]): Promise<void> {
  const image = path.join(root, 'image/overlay2');
  const write = async (file: string, content: string | Buffer) => {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
  };
  const diffIDs = layers.map((items) => digestOf(tar(items)));
  const parents: ParentLayer[] = [];
  for (const [index, items] of layers.entries()) {
    const home = path.join(root, 'overlay2', `layer${index}`);
    const record = path.join(
      image,
      'layerdb',
      chainID(diffIDs.slice(0, index + 1)).replace(':', '/'),
    );
    await mkdir(home, { recursive: true });
    const directory = path.join(home, 'diff');
    await unpackLayer(tar(items), directory, {
      parents,
      index: `${home}.idx`,
      policies: { symlinkParents: 'replace' },
    });
    parents.push({ directory, index: `${home}.idx` });
    await write(path.join(home, 'link'), `L${index}`);
    await write(path.join(record, 'cache-id'), `layer${index}`);
    await write(path.join(record, 'diff'), diffIDs[index] as string);
    if (index > 0) {
      const below = Array.from({ length: index }, (_, n) => `l/L${index - 1 - n}`);
      await write(path.join(home, 'lower'), below.join(':'));
      await write(path.join(record, 'parent'), chainID(diffIDs.slice(0, index)));
    }
    const segment = JSON.stringify({ type: 2, payload: tar(items).toString('base64') });
    await write(path.join(record, 'tar-split.json.gz'), gzipSync(`${segment}\n`));
  }
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: diffIDs },
    }),
  );
  await write(path.join(image, 'imagedb/content', digestOf(config).replace(':', '/')), config);
}

describe.runIf(isRoot)('records as plain files', () => {
  it('of a layer that must be read twice: a hardlink through a symlink of the layer below', async () => {
    await withScratch(async (root) => {
      await writeRoot(root, [
        [dir('usr'), dir('usr/lib'), file('usr/lib/f', ''), symlink('lib', 'usr/lib')],
        [hardlink('h', 'lib/f')],
      ]);
      const { report } = await verifyDocker({ root });
      expect(report.notes).toEqual([]);
      expect(report.snapshots.map(({ source }) => source)).toEqual(['manifest', 'manifest']);
      expect(findingsOf({ report })).toEqual([]);
      await rm(path.join(root, 'overlay2/layer1/diff/h'));
      expect(findingsOf(await verifyDocker({ root }))).toMatchObject([
        { kind: 'missing-entry', path: 'h' },
      ]);
    });
  });

  it('with many that are foreign: a hundred notes, and how many more there are', async () => {
    await withScratch(async (root) => {
      await writeRoot(root, [[file('f', '')]]);
      for (let n = 0; n < 150; n++) {
        await writeFile(path.join(root, `image/overlay2/imagedb/content/sha256/foreign-${n}`), '');
      }
      const { notes } = (await verifyDocker({ root })).report;
      expect(notes).toHaveLength(101);
      expect(notes.at(-1)).toBe('and 50 more notes');
    });
  });
});

describe('other roots', () => {
  it('are refused, with what to do', async () => {
    await withScratch(async (root) => {
      await expect(verifyDocker({ root })).rejects.toThrow(code('ERR_NOT_FOUND'));
      await mkdir(path.join(root, 'image/btrfs'), { recursive: true });
      await expect(verifyDocker({ root })).rejects.toThrow(/ERR_UNSUPPORTED|btrfs/);
      const bolt = path.join(root, 'containerd/daemon/io.containerd.metadata.v1.bolt');
      await mkdir(bolt, { recursive: true });
      await expect(verifyDocker({ root })).rejects.toThrow(
        `oci-unpack verify --containerd ${root}/containerd/daemon --namespace moby`,
      );
      await rename(path.join(root, 'image'), path.join(root, 'other'));
      await expect(verifyDocker({ root })).rejects.toThrow(code('ERR_UNSUPPORTED'));
    });
  });
});

describe('CRC-64 of ISO 3309', () => {
  it.each([
    ['', '0000000000000000'],
    ['a', '3420000000000000'],
    ['abc', '3776c42000000000'],
    ['This is a test of the emergency broadcast system.', 'e7fcf1006b503b61'],
  ])('of %j is that of Go', (text, sum) => {
    const crc = new Crc64();
    crc.update(Buffer.from(text));
    expect(crc.hex()).toBe(sum);
  });
});

/** An image that is loaded, and one that is built on top of it by a container's changes. */
async function fill(docker: TestDocker): Promise<void> {
  await withScratch(async (scratch) => {
    const layout = path.join(scratch, 'layout');
    await writeImage(layout, damageLayers, ['gzip']);
    await docker.load(layout, 'damage:latest');
    await docker.docker('create', '--name', 'box', 'damage:latest', '/none');
    await writeFile(path.join(scratch, 'new'), 'new');
    await docker.docker('cp', path.join(scratch, 'new'), 'box:/d0/new-file');
    await docker.docker('commit', 'box', 'built:latest');
    await docker.docker('rm', 'box');
  });
}

async function layersOf(verification: DockerVerification, name: string): Promise<DamagedLayer[]> {
  const image = verification.report.images.find((one) => one.name === name);
  const layers: DamagedLayer[] = [];
  for (const chainID of image?.layers ?? []) {
    const audit = verification.report.snapshots.find((one) => one.chainID === chainID);
    const directory = audit?.directory ?? '';
    layers.push({ directory, damager: await Damager.of(directory, { format: 'overlay' }) });
  }
  return layers;
}

function findingsOf({ report }: Pick<DockerVerification, 'report'>) {
  return report.snapshots.flatMap(({ findings }) => findings);
}
