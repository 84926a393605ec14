// Without any rights, as docs/options.md has it: a layer may close its directories and files to their own owner.

import { spawnSync } from 'node:child_process';
import { chmod, lstat, mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { type CommandResult, commandPath, runCommand } from '../support/command.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, whiteout } from '../support/tar-builder.js';
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

/** Runs a command as nobody on the image of these layers, with a directory that anybody may write to. */
async function asNobody(
  work: (run: Run, reference: string, open: string) => Promise<void>,
): Promise<void> {
  await withScratch(async (scratch) => {
    await chmod(scratch, 0o755);
    const reference = await writeImage(path.join(scratch, 'layout'), layers);
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
  });
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
