// Without any rights, as docs/options.md has it: a layer may close its directories and files to their own owner.

import { spawnSync } from 'node:child_process';
import { chmod, lstat, mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { VerifyReport } from '../../src/verify/index.js';
import { type CommandResult, commandPath, runCommand } from '../support/command.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, hardlink, whiteout } from '../support/tar-builder.js';
import { platform, writeImage } from '../support/write-image.js';

type Run = (...args: string[]) => Promise<CommandResult>;

const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
const [setpriv = '', ...drop] = nobody;
const able =
  process.getuid?.() === 0 && spawnSync(setpriv, [...drop, 'test', '-r', commandPath]).status === 0;
if (!able) {
  console.log('skipped: rootless: needs root, to drop it, and a folder that anybody may read');
}

const layers = [
  [
    dir('./', { mode: 0o555 }),
    dir('bin', { mode: 0o555 }),
    file('bin/old', 'old', { mode: 0o555, xattrs: { 'user.note': 'kept' } }),
    dir('closed', { mode: 0 }),
    file('closed/file', 'x', { mode: 0 }),
    dir('moved', { mode: 0o555 }),
    file('moved/file', 'x'),
  ],
  [file('bin/new', 'new'), whiteout('bin/old'), whiteout('closed')],
];

/** Runs a command as nobody on the image of some layers, with a directory that anybody may write to. */
async function asNobody(
  work: (run: Run, reference: string, open: string) => Promise<void>,
  image = layers,
): Promise<void> {
  await withScratch(async (scratch) => {
    await chmod(scratch, 0o755);
    const reference = await writeImage(path.join(scratch, 'layout'), image);
    const open = path.join(scratch, 'open');
    await mkdir(open);
    await chmod(open, 0o777);
    const run: Run = (...args) => {
      return runCommand([...args, '--platform', platform, '-q'], { wrapper: nobody });
    };
    await work(run, reference, open);
  });
}

test.skipIf(!able)('a store of kind overlayfs takes them, as nobody', async () => {
  await asNobody(async (run, reference, open) => {
    const root = path.join(open, 'store');
    const imported = run('import', reference, '--root', root, '--snapshotter', 'overlayfs');
    expect(await imported).toMatchObject({ code: 0 });
    const verify = async () => {
      const how = ['--root', root, '--snapshotter', 'overlayfs', '--json'];
      const { code, stdout } = await runCommand(['verify', ...how], { wrapper: nobody });
      const { counts, snapshots } = JSON.parse(stdout) as VerifyReport;
      const findings = snapshots.flatMap((one) => one.findings.map(({ kind }) => kind));
      return { code, snapshots: counts.snapshots, unchecked: counts.unchecked, findings };
    };
    const closedByLayer = { code: 0, snapshots: 2, unchecked: 1, findings: [] };
    expect(await verify()).toEqual(closedByLayer);
    const names = await readdir(root, { recursive: true });
    const closed = names.find((name) => name.endsWith('/1/fs/closed')) ?? '';
    await chmod(path.join(root, closed), 0o100); // of another mode, and closed all the same
    const changed = { code: 1, snapshots: 2, unchecked: 0, findings: ['unreadable'] };
    expect(await verify()).toEqual(changed);
  });
});

const closedFile = [dir('etc'), file('etc/shadow', 'root:*', { mode: 0 }), file('hosts', 'x')];

test.skipIf(!able)('a hardlink to a closed file of a lower layer, as nobody', async () => {
  await asNobody(
    async (run, reference, open) => {
      const destination = path.join(open, 'image');
      const how = ['--format', 'overlay-userxattr', '--ownership', 'ignore'];
      expect(await run('unpack', reference, destination, ...how)).toMatchObject({ code: 0 });
      const copy = path.join(destination, 'layers/001/fs/passwords');
      expect((await lstat(copy)).mode & 0o7777).toBe(0);
      expect(await readFile(copy, 'utf8')).toBe('root:*'); // we are root
      const lower = path.join(destination, 'layers/000/fs/etc/shadow');
      expect((await lstat(lower)).mode & 0o7777).toBe(0);
    },
    [closedFile, [hardlink('passwords', 'etc/shadow')]],
  );
});

// Each layer of this kind is a copy of the one below: what is closed has to be read.
test.skipIf(!able)('a store of kind native takes closed files, as nobody', async () => {
  await asNobody(
    async (run, reference, open) => {
      const root = path.join(open, 'store');
      const imported = run('import', reference, '--root', root, '--snapshotter', 'native');
      expect(await imported).toMatchObject({ code: 0, stderr: '' });
      const modes = (await readdir(root, { recursive: true }))
        .filter((name) => name.endsWith('etc/shadow'))
        .map(async (name) => (await lstat(path.join(root, name))).mode & 0o7777);
      expect(await Promise.all(modes)).toEqual([0, 0]);
      const verified = await runCommand(['verify', '--root', root, '--json'], { wrapper: nobody });
      expect(verified).toMatchObject({ code: 0, stderr: '' });
      expect(JSON.parse(verified.stdout)).toMatchObject({
        ok: true,
        counts: { snapshots: 2, unchecked: 0, findings: 0, bytes: 2 * 'root:*'.length + 2 },
      });
    },
    [closedFile, [file('hosts', 'y')]],
  );
});

test.skipIf(!able).each(['overlay-userxattr', 'flat'])(
  'format %s, as nobody: directories that nobody may write to',
  async (format) => {
    await asNobody(async (run, reference, open) => {
      const destination = path.join(open, 'image');
      const how = ['--format', format, '--ownership', 'ignore'];
      expect(await run('unpack', reference, destination, ...how)).toMatchObject({
        code: 0,
        stderr: '',
      });
      const root = path.join(destination, format === 'flat' ? 'rootfs' : 'layers/001/fs');
      const mode = async (name: string) => (await lstat(path.join(root, name))).mode & 0o7777;
      expect([await mode('.'), await mode('bin')]).toEqual([0o555, 0o555]);
      if (format === 'flat') {
        expect(await readdir(root)).toEqual(expect.arrayContaining(['bin', 'moved']));
        expect(await readdir(root)).not.toContain('closed');
        expect(await readdir(path.join(root, 'bin'))).toEqual(['new']);
        expect(await mode('moved')).toBe(0o555);
      }
    });
  },
);
