// The commands of the store, as a user types them.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CommandResult, commandPath, runCommand } from '../support/command.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, type TarItem } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const isRoot = process.geteuid?.() === 0;

const layers: readonly (readonly TarItem[])[] = [
  [dir('etc'), file('etc/passwd', 'root:x:0:0::/:/bin/sh\n'), file('a', 'a')],
  [file('b', 'b'.repeat(5000))],
];

type Run = (...args: string[]) => Promise<CommandResult>;

/** Runs commands on a store that has the image `app:1`. */
async function withImage(work: (run: Run, root: string, scratch: string) => Promise<void>) {
  await withScratch(async (scratch) => {
    const root = path.join(scratch, 'store');
    const run: Run = (...args) => {
      const end = args.indexOf('--');
      const at = end < 0 ? args.length : end;
      return runCommand([...args.slice(0, at), '--root', root, ...args.slice(at)]);
    };
    const reference = await writeImage(path.join(scratch, 'layout'), layers);
    const imported = await run('import', reference, '--name', 'app:1', '--json');
    expect(imported).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(imported.stdout)).toMatchObject({ name: 'app:1', layers: [{}, {}] });
    await work(run, root, scratch);
  });
}

async function json(result: Promise<CommandResult>): Promise<never> {
  const { code, stdout, stderr } = await result;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as never;
}

const commands = [
  ['pull'],
  ['import'],
  ['images', 'ls'],
  ['images', 'rm'],
  ['images', 'tag'],
  ['images', 'inspect'],
  ['images', 'unpack'],
  ['content', 'ls'],
  ['content', 'get'],
  ['content', 'rm'],
  ['content', 'ingests'],
  ['snapshots', 'ls'],
  ['snapshots', 'tree'],
  ['snapshots', 'mounts'],
  ['snapshots', 'usage'],
  ['snapshots', 'rm'],
  ['snapshots', 'diff'],
  ['containers', 'create'],
  ['containers', 'ls'],
  ['containers', 'rm'],
  ['leases', 'ls'],
  ['leases', 'create'],
  ['leases', 'rm'],
  ['mount'],
  ['umount'],
  ['bundle'],
  ['run'],
  ['gc'],
  ['why'],
];

describe('--help', () => {
  it.each(commands)('of %s %s', async (...command) => {
    const words = command.filter((word) => word !== undefined);
    const { code, stdout } = await runCommand([...words, '--help']);
    expect(code).toBe(0);
    for (const text of ['Example', '--json', '--quiet', '--root', '--namespace']) {
      expect(stdout).toContain(text);
    }
  });
});

describe.skipIf(!isRoot)('the store', () => {
  it('lists what an import has made', async () => {
    await withImage(async (run) => {
      const images: { name: string; target: { digest: string } }[] = await json(
        run('images', 'ls', '--json'),
      );
      expect(images.map(({ name }) => name)).toEqual(['app:1']);
      expect((await run('images', 'ls', '-q')).stdout).toBe('app:1\n');
      expect((await run('images', 'ls', '-q', 'name==app:1')).stdout).toBe('app:1\n');
      expect((await run('images', 'ls', '-q', 'name==other')).stdout).toBe('');
      expect((await run('images')).stdout).toContain('app:1');
      expect(await json(run('content', 'ls', '--json'))).toHaveLength(4);
      const snapshots: { name: string; parent?: string }[] = await json(
        run('snapshots', 'ls', '--json'),
      );
      expect(snapshots).toHaveLength(2);
      const tree = (await run('snapshots', 'tree')).stdout.trim().split('\n');
      expect(tree).toHaveLength(2);
      const usage: object[] = await json(run('snapshots', 'usage', '--json'));
      expect(usage).toEqual([
        { key: expect.any(String), size: expect.any(Number), inodes: expect.any(Number) },
        { key: expect.any(String), size: expect.any(Number), inodes: expect.any(Number) },
      ]);
      const inspected = await json(run('images', 'inspect', 'app:1', '--json'));
      expect(inspected).toMatchObject({ unpacked: true, layers: [{}, {}] });
      for (const command of [['images'], ['content'], ['snapshots'], ['leases'], ['containers']]) {
        const { stdout } = await run(...command, 'ls');
        const long = stdout.split('\n').filter((line) => line.length > 80);
        expect(long).toEqual([]);
      }
    });
  });

  it('takes its options before the command too', async () => {
    await withImage(async (_, root) => {
      for (const args of [
        ['images', '--root', root, '-q', 'ls'],
        ['images', '-q', '--root', root, 'name==app:1'],
        ['--root', 'elsewhere', '--quiet', 'images', 'ls', '--root', root],
      ]) {
        expect(await runCommand(args)).toEqual({ code: 0, stdout: 'app:1\n', stderr: '' });
      }
      const other = ['--namespace', 'n', '--root', root, 'images', '--json', 'ls'];
      expect(await runCommand(other)).toEqual({ code: 0, stdout: '[]\n', stderr: '' });
      expect(existsSync('elsewhere')).toBe(false);
    });
  });

  it('tags, explains, collects', async () => {
    await withImage(async (run, root) => {
      await json(run('images', 'tag', 'app:1', 'other', '--json'));
      expect((await run('images', 'rm', 'app:1')).stdout).toContain('removed app:1');
      expect(await json(run('gc', '--json'))).toMatchObject({ content: [], snapshots: [] });
      const { snapshot } = (await json(run('images', 'inspect', 'other', '--json'))) as {
        snapshot: string;
      };
      const why = await run('why', snapshot);
      expect(why).toMatchObject({ code: 0 });
      expect(why.stdout).toContain('image other');
      await run('leases', 'create', 'keep', '--hold', `overlayfs/${snapshot}`, '--expires', '1h');
      const half = await run('images', 'rm', 'other', 'nothing');
      expect(half).toMatchObject({ code: 1, stdout: 'removed other\n' });
      expect(half.stderr).toContain('ERR_STORE_NOT_FOUND');
      const dry = (await json(run('gc', '--dry-run', '--json'))) as { content: [] };
      expect(dry.content).toHaveLength(4);
      expect(await json(run('gc', '--json'))).toMatchObject({ snapshots: [] });
      expect(await json(run('leases', 'ls', '--json'))).toMatchObject([
        { id: 'keep', resources: [{ type: 'snapshots/overlayfs', id: snapshot }] },
      ]);
      await run('leases', 'rm', 'keep');
      expect((await run('why', snapshot)).code).toBe(1);
      expect(((await json(run('gc', '--json'))) as { snapshots: [] }).snapshots).toHaveLength(2);
      expect((await run('why', snapshot)).stderr).toContain('ERR_STORE_NOT_FOUND');
      expect(await readdir(path.join(root, 'snapshots'))).toEqual([]);
      expect(await readdir(path.join(root, 'blobs/sha256'))).toEqual([]);
    });
  });

  it('reads and removes blobs', async () => {
    await withImage(async (run) => {
      const { configDigest } = (await json(run('images', 'inspect', 'app:1', '--json'))) as {
        configDigest: string;
      };
      const { stdout } = await run('content', 'get', configDigest);
      expect(JSON.parse(stdout)).toMatchObject({ rootfs: { type: 'layers' } });
      expect((await run('content', 'rm', configDigest)).code).toBe(0);
      const broken = await run('images', 'inspect', 'app:1');
      expect(broken).toMatchObject({ code: 1 });
      expect(broken.stderr).toContain('ERR_BLOB_NOT_FOUND');
    });
  });

  it('writes a blob to who reads no more, to a full disk, and until Ctrl-C', async () => {
    await withImage(async (run, root, scratch) => {
      const layer = [file('random', randomBytes(2 ** 21))];
      const reference = await writeImage(path.join(scratch, 'big'), [layer]);
      await json(run('import', reference, '--no-unpack', '--json'));
      const blobs: { digest: string; size: number }[] = await json(run('content', 'ls', '--json'));
      const { digest = '' } = blobs.find(({ size }) => size > 2 ** 20) ?? {};
      const get = [process.execPath, commandPath, 'content', 'get', digest, '--root', root];
      const shell = (script: string) =>
        new Promise<[number | null, string]>((resolve) => {
          const child = spawn('bash', ['-c', `set -o pipefail; "$@" ${script}`, 'bash', ...get]);
          let stderr = '';
          child.stderr.setEncoding('utf8').on('data', (text: string) => {
            stderr += text;
          });
          child.on('close', (code) => resolve([code, stderr]));
        });
      expect(await shell('| head -c 1')).toEqual([0, '']);
      const full = 'oci-unpack: ERR_IO: stdout: ENOSPC: no space left on device, write\n';
      expect(await shell('> /dev/full')).toEqual([1, full]);
      const [node = '', ...args] = get;
      const child = spawn(node, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(child.stdout, 'readable'); // and nobody reads
      child.kill('SIGINT');
      expect(await once(child, 'exit')).toEqual([130, null]);
    });
  });

  it('makes, mounts, compares and removes containers', async () => {
    await withImage(async (run, _, scratch) => {
      expect((await run('containers', 'create', 'app:1', 'web')).stdout).toBe('web\n');
      const target = path.join(scratch, 'target');
      await mkdir(target);
      expect((await run('mount', 'web', target)).code).toBe(0);
      await writeFile(path.join(target, 'new'), '');
      expect((await run('snapshots', 'diff', 'default/web')).stdout).toBe('A /new\n');
      expect((await run('snapshots', 'mounts', 'default/web')).stdout).toContain('upperdir=');
      expect((await run('umount', target)).code).toBe(0);
      expect(await readdir(target)).toEqual([]);
      const upper = path.join(scratch, 'upper');
      expect((await run('mount', 'app:1', target, '--upper', upper)).code).toBe(2);
      expect((await run('mount', 'app:1', target)).code).toBe(0);
      expect(await readFile(path.join(target, 'a'), 'utf8')).toBe('a');
      expect((await run('umount', target)).code).toBe(0);
      const bundle = path.join(scratch, 'bundle');
      const written = await run('bundle', 'app:1', bundle, '--id', 'b', '--json', '--', '/x', '-y');
      expect(JSON.parse(written.stdout)).toMatchObject({
        id: 'b',
        config: { process: { args: ['/x', '-y'] } },
      });
      expect(await readdir(path.join(bundle, 'rootfs'))).toContain('b');
      expect((await run('containers', 'rm', 'web', 'b')).code).toBe(0);
      expect(await readdir(path.join(bundle, 'rootfs'))).toEqual([]);
      expect(await json(run('snapshots', 'ls', 'kind==active', '--json'))).toEqual([]);
    });
  });

  it('says what is wrong', async () => {
    await withImage(async (run, root) => {
      for (const [args, code, exit] of [
        [['images', 'rm', 'nothing'], 'ERR_STORE_NOT_FOUND', 1],
        [['containers', 'rm', 'nothing'], 'ERR_STORE_NOT_FOUND', 1],
        [['snapshots', 'ls', 'kind='], 'ERR_INVALID_FILTER', 1],
        [['run', 'nothing'], 'ERR_STORE_NOT_FOUND', 1],
        [['images', 'ls', '--namespace', 'a/b'], 'ERR_INVALID_ARGUMENT', 2],
      ] as const) {
        const result = await run(...args);
        expect([result.code, result.stderr]).toEqual([exit, expect.stringContaining(code)]);
        expect(result.stderr).toContain('fix:');
      }
      const first = await run('snapshots', 'ls', '-q');
      const parent = first.stdout.split('\n').find((key) => key !== '') ?? '';
      const inUse = await run('snapshots', 'rm', parent);
      const other = await run('snapshots', 'rm', first.stdout.split('\n')[1] ?? '');
      expect([inUse.code, other.code].sort()).toEqual([0, 1]);
      expect(existsSync(root)).toBe(true);
    });
  });

  it('takes the beginning of a digest for a layer, and no beginning of any other key', async () => {
    await withImage(async (run) => {
      await run('containers', 'create', 'app:1', 'web');
      expect((await run('snapshots', 'rm', 'd')).stderr).toContain('ERR_STORE_NOT_FOUND');
      const keys = (await run('snapshots', 'ls', '-q')).stdout.trim().split('\n');
      expect(keys).toContain('default/web');
      const [key = ''] = keys.filter((one) => one.startsWith('sha256:'));
      const usage = await json(
        run('snapshots', 'usage', key.slice(0, 19), key.slice(7, 13), key, '--json'),
      );
      expect(usage).toMatchObject([{ key }, { key }, { key }]);
    });
  });

  it.each([['verify'], ['verify', '--repair'], ['gc', '--dry-run'], ['why', 'sha256:00']])(
    'does not judge what is not there: %s %s',
    async (...command) => {
      await withScratch(async (scratch) => {
        const root = path.join(scratch, 'mistyped');
        const { code, stdout, stderr } = await runCommand([...command, '--json', '--root', root]);
        expect(code).toBe(1);
        expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'ERR_NOT_FOUND', path: root } });
        expect(stderr).toContain('--root');
        expect(existsSync(root)).toBe(false);
      });
    },
  );

  it.each(['none yet', 'one that somebody is making'])(
    'has nothing to list where there is %s',
    (what) =>
      withScratch(async (scratch) => {
        const root = path.join(scratch, 'none');
        if (what !== 'none yet') {
          await mkdir(path.join(root, 'metadata'), { recursive: true });
          await writeFile(path.join(root, 'metadata', 'data.mdb'), '');
        }
        const { code, stdout } = await runCommand(['images', 'ls', '--json', '--root', root]);
        expect([code, stdout]).toEqual([0, '[]\n']);
      }),
  );
});
