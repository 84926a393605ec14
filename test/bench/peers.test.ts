// Every contender on a small image, as a user runs the bench: who is installed unpacks it, and to the same tree.

import { chmod, chown, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { withBenchImage } from '../../src/bench/image.js';
import type { Row } from '../../src/bench/measure.js';
import { parallelContainerdContender } from '../../src/bench/peers/containerd.js';
import { which } from '../../src/bench/process.js';
import type { BenchReport, ImageResult } from '../../src/bench/run.js';
import { runCommand } from '../support/command.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, hardlink, opaque, symlink, whiteout } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const root = process.getuid?.() === 0;
const layers = [
  [
    dir('./'),
    dir('bin'),
    file('bin/tool', 'x'.repeat(100_000), { mode: 0o755 }),
    hardlink('bin/other', 'bin/tool', { mode: 0o755 }),
    symlink('link', 'bin/tool'),
    dir('var'),
    file('var/old', 'old'),
    dir('etc', { uid: 3, gid: 4 }),
    file('etc/conf', 'one', { uid: 3, gid: 4, mode: 0o640 }),
    dir('lib'),
    file('lib/a', 'a'),
    file('lib/b', 'b'),
  ],
  [
    dir('./'),
    dir('etc', { uid: 3, gid: 4 }),
    file('etc/conf', 'two', { uid: 3, gid: 4, mode: 0o600 }),
    dir('var'),
    whiteout('var/old'),
    dir('lib'),
    opaque('lib'),
    file('lib/c', 'c'),
  ],
];

describe.runIf(root)('on a small image', () => {
  let report: BenchReport;
  let html = '';

  beforeAll(async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers, ['gzip']);
      // Longer than the name of a socket may be, and with what /proc/mounts escapes.
      const work = path.join(scratch, 'a place to work in', 'w'.repeat(120));
      const [json, page] = ['r.json', 'r.html'].map((name) => path.join(scratch, name));
      const options = ['--dir', work, '--runs', '1', '--json', json ?? '', '--report', page ?? ''];
      const { code, stdout, stderr } = await runCommand(['bench', reference, ...options]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain('oci-unpack flat');
      report = JSON.parse(await readFile(json ?? '', 'utf8'));
      html = await readFile(page ?? '', 'utf8');
      // What it has made of the path is gone too.
      expect((await readdir(scratch)).sort()).toEqual(['layout', 'r.html', 'r.json']);
    });
  }, 300_000);

  const row = (id: string): Row => {
    const found = report.images[0]?.rows.find((one) => one.id === id);
    if (found === undefined) {
      throw new Error(`no row ${id}`);
    }
    return found;
  };

  test.each([
    'oci-unpack',
    'oci-unpack-flat',
    'oci-unpack-1',
    'javascript',
    'javascript-sync',
    'tar-stream',
    'node-tar',
    'tar-fs',
    'tar-gzip',
    'tar-pigz',
    'tar-igzip',
    'tar-zstd',
    'bsdtar',
    'umoci',
    'containerd',
    'containerd-parallel',
    'skopeo',
    'floor',
  ])('%s', (id) => {
    const { status, reason, install, samples, differences, differenceCount, paths } = row(id);
    if (status === 'missing') {
      console.log(`skipped: ${reason}: ${install}`);
      return;
    }
    expect({ status, reason }).toEqual({ status: 'measured', reason: undefined });
    expect({ differenceCount, differences }).toEqual({ differenceCount: 0, differences: [] });
    expect(paths).toBe(10);
    expect(samples).toHaveLength(1);
    expect(samples[0]?.wall).toBeGreaterThan(0);
    expect(samples[0]?.user).toBeGreaterThanOrEqual(0);
  });

  test('the report says who did less', () => {
    expect(row('tar-gzip').digests).toBe(false);
    expect(row('tar-gzip').lacks).toContain('digests');
    expect(row('containerd').lacks).toEqual([]);
    expect(report).toMatchObject({ kind: 'oci-unpack-bench', schema: 2, equal: true });
    expect(html).toContain('oci-unpack flat');
  });
});

// Older versions have no such option and unpack one after the other, but the way is the same.
test.runIf(root && which('containerd') !== undefined)(
  'containerd pulls from a loopback registry what it has',
  async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers, ['gzip']);
      const contender = parallelContainerdContender();
      await withBenchImage(reference, async (image) => {
        const place = { image, home: path.join(scratch, 'home') };
        const destination = path.join(scratch, 'out');
        await mkdir(place.home);
        try {
          await contender.prepare?.(place);
          await contender.begin?.(place, destination);
          const { usage } = await contender.unpack(place, destination);
          expect(usage?.maxRss).toBeGreaterThan(1 << 20);
          const { tree } = await contender.view(place, destination, []);
          expect(tree.size).toBe(10);
        } finally {
          await contender.end?.(place, destination);
          await contender.close?.();
        }
      });
    });
  },
  300_000,
);

test.runIf(root)('without root nobody tries to set owners', async () => {
  await withScratch(async (scratch) => {
    await chmod(scratch, 0o755);
    const work = path.join(scratch, 'work');
    await mkdir(work);
    await chown(work, 65534, 65534);
    const reference = await writeImage(path.join(scratch, 'layout'), layers, ['gzip']);
    const options = ['--dir', work, '--runs', '1', '--peers', 'tar-gzip', '--json'];
    const wrapper = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
    const { code, stdout } = await runCommand(['bench', reference, ...options], { wrapper });
    expect(code).toBe(0);
    const { rows } = (JSON.parse(stdout) as BenchReport).images[0] as ImageResult;
    const tar = rows.find(({ id }) => id === 'tar-gzip');
    expect(tar).toMatchObject({ status: 'measured', differenceCount: 0 });
    expect(tar?.note).toBeUndefined();
    expect(tar?.lacks).toContain('owners');
    expect(rows.at(-1)).toMatchObject({ id: 'floor', status: 'unsuitable' });
  });
});

describe('the choice of peers', () => {
  test('an unknown one is a usage error that lists all', async () => {
    const { code, stderr } = await runCommand(['bench', '--smoke', '--peers', 'none-such']);
    expect(code).toBe(2);
    expect(stderr).toContain('containerd');
  });

  test('a place for the result that is not there is told at once', async () => {
    const { code, stderr } = await runCommand(['bench', '--report', '/no/such/place/r.html']);
    expect(code).toBe(1);
    expect(stderr).toContain('ERR_NOT_FOUND');
  });

  test('what it would overwrite, and what it would not do, is told at once', async () => {
    await withScratch(async (scratch) => {
      const archive = path.join(scratch, 'image.tar');
      await writeFile(archive, 'index.json\0 of an archive');
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      for (const [args, said, code] of [
        [['--json', archive], 'no result of bench', 2],
        [['--json', scratch], 'is a directory', 2],
        [['--json', 'r', '--report', './r'], 'the same file', 2],
        [['--rates', '100'], 'needs --registry', 2],
        [['--registry', 'http://127.0.0.1:1', '--report', 'r'], '--report', 2],
        [['--registry', 'http://127.0.0.1:1', '--peers', 'umoci'], 'umoci cannot', 2],
        [['--dir', '/proc/no-such'], 'mkdir(/proc/no-such)', 1],
        [[reference, 'oci:/no/such'], '/no/such', 1],
      ] as const) {
        const result = await runCommand(['bench', '--smoke', '--dir', scratch, ...args]);
        expect({ args, code: result.code }).toEqual({ args, code });
        expect(result.stderr).toContain(said);
      }
      expect(await readFile(archive, 'utf8')).toContain('of an archive');
      expect((await readdir(scratch)).sort()).toEqual(['image.tar', 'layout']);
    });
  });

  test('--smoke --json prints the result', async () => {
    const { code, stdout } = await runCommand(['bench', '--smoke', '--peers', 'none', '--json']);
    const report = JSON.parse(stdout) as BenchReport;
    expect(code).toBe(0);
    expect(report.images[0]?.rows.map(({ id }) => id)).toEqual([
      'oci-unpack',
      'oci-unpack-flat',
      'oci-unpack-1',
      'floor',
    ]);
  }, 300_000);

  test('an image after --json is an image', async () => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), layers);
      const options = ['--runs', '1', '--peers', 'none', '--dir', scratch];
      const { code, stdout } = await runCommand(['bench', ...options, '--json', reference]);
      expect(code).toBe(0);
      expect((JSON.parse(stdout) as BenchReport).images[0]?.reference).toBe(reference);
    });
  }, 300_000);
});
