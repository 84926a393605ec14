// Containers of a real image, mounted by the kernel and run by the host's runtime: the image is the host's busybox, so
// that it can be made anywhere.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink as symlinkTo, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Store } from '../../src/index.js';
import { commandPath, runCommand, startCommand } from '../support/command.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, symlink, type TarItem, whiteout } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((one) => existsSync(one));
const isRoot = process.geteuid?.() === 0;
const missing =
  (isRoot ? undefined : 'it takes root to mount') ??
  (busybox === undefined ? 'there is no busybox (apt-get install busybox-static)' : undefined) ??
  runtimeMissing();

function runtimeMissing(): string | undefined {
  try {
    execFileSync('runc', ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'there is no runc (apt-get install runc)';
  }
}

function busyboxLayers(): TarItem[][] {
  const program = readFileSync(busybox ?? '');
  const names = ['sh', 'id', 'echo', 'cat', 'ls', 'touch', 'sleep', 'rm', 'kill', 'trap', 'pwd'];
  return [
    [
      ...['bin', 'etc', 'proc', 'sys', 'dev', 'run', 'work'].map((name) => dir(name)),
      dir('tmp', { mode: 0o1777 }),
      file('bin/busybox', program, { mode: 0o755 }),
      ...names.map((name) => symlink(`bin/${name}`, 'busybox')),
      file('etc/passwd', 'root:x:0:0::/:/bin/sh\nuser:x:1000:1001::/work:/bin/sh\n'),
      file('etc/group', 'root:x:0:\nuser:x:1001:\nextra:x:77:user\n'),
      file('gone', 'gone'),
    ],
    [whiteout('gone'), file('top', 'top')],
  ];
}

async function withImage<T>(
  work: (store: Store, scratch: string) => Promise<T>,
  namespace?: string,
): Promise<T> {
  return withScratch(async (scratch) => {
    const store = await Store.open(path.join(scratch, 'store'), { namespace });
    try {
      await store.import(await writeImage(path.join(scratch, 'layout'), busyboxLayers()), {
        name: 'box',
      });
      return await work(store, scratch);
    } finally {
      // What a failed test has left mounted would hide why it failed.
      for (const { id } of store.containers.list()) {
        await store.containers.remove(id);
      }
      await store.close();
    }
  });
}

function mounts(): string {
  return readFileSync('/proc/self/mountinfo', 'utf8');
}

if (missing !== undefined) {
  console.log(`containers: not tested, ${missing}`);
}

describe.skipIf(missing !== undefined)('containers', () => {
  it('are made, mounted, changed, compared and removed, and nothing is left', async () => {
    await withImage(async (store, scratch) => {
      const container = await store.containers.create('box', { id: 'web' });
      expect(container).toMatchObject({ image: 'box', snapshotKey: 'default/web' });
      await expect(store.containers.create('box', { id: 'web' })).rejects.toMatchObject({
        code: 'ERR_STORE_EXISTS',
      });
      const target = path.join(scratch, 'target');
      await mkdir(target);
      await store.containers.mount('web', target);
      expect(await readdir(target)).toContain('top');
      expect(await readdir(target)).not.toContain('gone');
      await writeFile(path.join(target, 'work/new'), 'new');
      execFileSync('rm', [path.join(target, 'top')]);
      await expect(store.containers.mount('web', scratch)).rejects.toMatchObject({
        code: 'ERR_STORE_IN_USE',
      });
      const { directory } = await store.snapshots.stat('default/web');
      expect(await readFile(path.join(directory, 'fs/work/new'), 'utf8')).toBe('new');
      expect(await store.diff('default/web')).toEqual([
        { kind: 'deleted', path: '/top' },
        { kind: 'changed', path: '/work' },
        { kind: 'added', path: '/work/new' },
      ]);
      expect((await store.gc()).snapshots).toEqual([]);
      expect(await store.containers.umount(target)).toBe(true);
      expect(mounts()).not.toContain(target);
      expect(await store.containers.umount(target)).toBe(false);
      await store.containers.mount('web', target);
      await store.containers.remove('web');
      expect(mounts()).not.toContain(target);
      expect(existsSync(directory)).toBe(false);
      expect(store.containers.list()).toEqual([]);
    });
  });

  it('does not unmount what somebody else has mounted where a container was', async () => {
    await withImage(async (store, scratch) => {
      const target = path.join(scratch, 'target');
      await mkdir(target);
      await store.containers.create('box', { id: 'web' });
      await store.containers.mount('web', target);
      execFileSync('umount', [target]); // a reboot
      execFileSync('mount', ['-t', 'tmpfs', 'other', target]);
      try {
        await store.containers.remove('web');
        expect(mounts()).toContain(` ${target} `);
      } finally {
        execFileSync('umount', [target]);
      }
    });
  });

  it('leaves what else is mounted where it is unmounted', async () => {
    await withImage(async (store, scratch) => {
      const target = path.join(scratch, 'target');
      await mkdir(target);
      execFileSync('mount', ['-t', 'tmpfs', 'before', target]);
      try {
        await writeFile(path.join(target, 'own'), '');
        await store.containers.create('box', { id: 'web' });
        await store.containers.mount('web', target);
        expect(await store.containers.umount('web')).toBe(true);
        expect(await readdir(target)).toEqual(['own']);
        await store.containers.mountImage('box', target);
        expect(await store.containers.umount(target)).toBe(true);
        expect(await readdir(target)).toEqual(['own']);
        await store.containers.mount('web', target);
        execFileSync('mount', ['-t', 'tmpfs', 'after', target]);
        const code = 'ERR_MOUNT';
        await expect(store.containers.umount('web')).rejects.toMatchObject({ code });
        execFileSync('umount', [target, target]);
        execFileSync('mount', ['-t', 'tmpfs', 'instead', target]);
        expect(await store.containers.umount('web')).toBe(true);
        expect(await readdir(target)).toEqual([]);
      } finally {
        execFileSync('umount', [target, target]);
      }
    });
  });

  it('are mounted once, whoever asks at the same time and in whatever mount namespace', async () => {
    await withImage(async (store, scratch) => {
      const targets = ['one', 'two', 'three'].map((name) => path.join(scratch, name));
      await Promise.all(targets.map((target) => mkdir(target)));
      await store.containers.create('box', { id: 'web' });
      const mounting = targets.map((target) => store.containers.mount('web', target));
      const settled = await Promise.allSettled(mounting);
      expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const at = targets.find((target) => mounts().includes(` ${target} `)) ?? '';
      const script = `mount --make-rprivate / && echo ready && read line`;
      const other = spawn('unshare', ['-m', 'sh', '-c', script]);
      try {
        await once(other.stdout, 'data');
        expect(await store.containers.umount(at)).toBe(true);
        await expect(store.containers.mount('web', at)).rejects.toMatchObject({
          code: 'ERR_STORE_IN_USE',
          message: expect.stringContaining(`${other.pid}`),
        });
      } finally {
        other.stdin.end('\n');
        await once(other, 'close');
      }
    });
  });

  it('are mounted and run by way of symlinks, and nothing is left', async () => {
    await withImage(async (store, scratch) => {
      await mkdir(path.join(scratch, 'target'));
      await symlinkTo('target', path.join(scratch, 'link'));
      await symlinkTo('store', path.join(scratch, 'way'));
      const other = await Store.open(path.join(scratch, 'way'));
      try {
        const options = { args: ['echo', 'hi'], stdio: 'ignore', id: 'job' } as const;
        expect(await other.containers.run('box', options)).toMatchObject({ exitCode: 0 });
        expect(other.containers.list()).toEqual([]);
        await other.containers.create('box', { id: 'web' });
        await other.containers.mount('web', path.join(scratch, 'link'));
        expect(await readdir(path.join(scratch, 'target'))).toContain('top');
        await other.containers.remove('web');
        expect(mounts()).not.toContain(scratch);
      } finally {
        await other.close();
      }
      expect(await readdir(path.join(store.root, 'bundles'))).toEqual([]);
    });
  });

  it('have bundles of their own, whatever hyphens are in ids and namespaces', async () => {
    await withImage(async (store) => {
      const other = await Store.open(store.root, { namespace: 'a' });
      try {
        await other.import(`oci:${path.join(store.root, '../layout')}`, { name: 'box' });
        await other.containers.create('box', { id: 'b-c' });
        let left = false;
        const options = { args: ['cat'], stdio: 'pipe', id: 'c' } as const;
        const onStart = async (child: ChildProcess) => {
          await other.containers.remove('b-c').catch(() => undefined);
          const [bundle = ''] = await readdir(path.join(store.root, 'bundles'));
          left = existsSync(path.join(store.root, 'bundles', bundle, 'config.json'));
          child.stdin?.end();
        };
        await store.containers.run('box', { ...options, onStart: (child) => void onStart(child) });
        expect(left).toBe(true);
      } finally {
        await other.close();
      }
    }, 'a-b');
  });

  it('shows an image read-only', async () => {
    await withImage(async (store, scratch) => {
      const target = path.join(scratch, 'target');
      await mkdir(target);
      await store.containers.mountImage('box', target);
      expect(await readdir(target)).toContain('top');
      await expect(writeFile(path.join(target, 'x'), '')).rejects.toMatchObject({ code: 'EROFS' });
      expect((await store.gc()).snapshots).toEqual([]);
      expect(await store.containers.umount(target)).toBe(true);
      let views = 0;
      await store.snapshots.walk(() => {
        views++;
      }, 'kind==view');
      expect(views).toBe(0);
    });
  });

  it('write a bundle that runc runs', async () => {
    await withImage(async (store, scratch) => {
      const directory = path.join(scratch, 'bundle');
      const bundle = await store.containers.bundle('box', directory, {
        id: 'bundled',
        args: ['sh', '-c', 'id; pwd; cat /top; echo done > /tmp/file'],
        user: 'user',
        cwd: '/tmp',
      });
      expect(bundle.config.process.user).toEqual({
        uid: 1000,
        gid: 1001,
        additionalGids: [1001, 77],
      });
      expect(JSON.parse(await readFile(path.join(directory, 'config.json'), 'utf8'))).toEqual(
        bundle.config,
      );
      const id = `oci-unpack-test-${process.pid}`;
      const output = execFileSync('runc', ['run', '-b', directory, id], { encoding: 'utf8' });
      expect(output).toContain('uid=1000(user) gid=1001(user) groups=77(extra),1001(user)');
      expect(output).toContain('/tmp\ntop');
      await store.containers.remove('bundled');
      expect(mounts()).not.toContain(directory);
    });
  });

  it('leave nothing of a bundle that cannot be', async () => {
    await withImage(async (store, scratch) => {
      const directory = path.join(scratch, 'bundle');
      await expect(
        store.containers.bundle('box', directory, { args: ['sh'], user: 'nobody-knows' }),
      ).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
      await expect(store.containers.bundle('box', directory, { entrypoint: [] })).rejects.toThrow(
        /neither entrypoint/,
      );
      expect(existsSync(directory)).toBe(false);
      expect(mounts()).not.toContain(directory);
      expect(store.containers.list()).toEqual([]);
      expect(await readdir(path.join(store.root, 'snapshots'))).toHaveLength(2);
      await mkdir(directory);
      await writeFile(path.join(directory, 'file'), '');
      await expect(
        store.containers.bundle('box', directory, { args: ['sh'] }),
      ).rejects.toMatchObject({ code: 'ERR_DESTINATION_NOT_EMPTY' });
    });
  });

  it('run, give their exit code, keep what is written when asked to', async () => {
    await withImage(async (store) => {
      const run = (args: string[], keep = false) =>
        store.containers.run('box', { id: `t${process.pid}`, args, keep, stdio: 'ignore' });
      expect(await run(['sh', '-c', 'exit 7'])).toMatchObject({ exitCode: 7 });
      expect(store.containers.list()).toEqual([]);
      expect(await readdir(path.join(store.root, 'snapshots'))).toHaveLength(2);
      expect(await readdir(path.join(store.root, 'bundles'))).toEqual([]);
      const { id } = await run(['sh', '-c', 'echo kept > /work/file'], true);
      const { directory } = await store.snapshots.stat(`default/${id}`);
      expect(await readFile(path.join(directory, 'fs/work/file'), 'utf8')).toBe('kept\n');
      await store.containers.remove(id);
      expect(existsSync(directory)).toBe(false);
      expect(mounts()).not.toContain(store.root);
    });
  });

  it('stop when they are told to', async () => {
    await withImage(async (store) => {
      const controller = new AbortController();
      const result = await store.containers.run('box', {
        args: ['sh', '-c', 'trap "exit 5" TERM; while :; do sleep 0.1; done'],
        stdio: 'ignore',
        signal: controller.signal,
        onStart: () => void setTimeout(() => controller.abort(), 1000),
      });
      expect(result.exitCode).toBe(5);
      expect(store.containers.list()).toEqual([]);
    });
  });

  it('that have the id of another one in the runtime leave that alone', async () => {
    await withImage(async (store) => {
      const id = `same-${process.pid}`;
      const script = 'trap "exit 5" TERM; echo ready; while :; do sleep 0.1; done';
      const controller = new AbortController();
      let first: Promise<unknown> | undefined;
      await new Promise((resolve) => {
        first = store.containers.run('box', {
          id,
          args: ['sh', '-c', script],
          stdio: 'pipe',
          signal: controller.signal,
          onStart: (child) => child.stdout?.once('data', resolve),
        });
      });
      await withImage(async (other) => {
        const second = await other.containers.run('box', { id, args: ['sh'], stdio: 'ignore' });
        expect(second.exitCode).not.toBe(0); // runc has that id already
        expect(other.containers.list()).toEqual([]);
      });
      controller.abort();
      expect(await first).toMatchObject({ exitCode: 5 });
      expect(execFileSync('runc', ['list', '--quiet'], { encoding: 'utf8' })).not.toContain(id);
    });
  });

  it('are not removed while a process runs in them', async () => {
    await withImage(async (store) => {
      const id = `running-${process.pid}`;
      const run = ['run', '--root', store.root, '--id', id, 'box'];
      const { process: command, result } = startCommand([...run, 'sh', '-c', 'echo; sleep 60']);
      await new Promise((resolve) => command.stdout?.once('data', resolve));
      command.kill('SIGKILL'); // what runs in the container goes on
      await once(command, 'exit');
      const { directory } = await store.snapshots.stat(`default/${id}`);
      await expect(store.containers.remove(id)).rejects.toMatchObject({
        code: 'ERR_STORE_IN_USE',
        message: expect.stringContaining(`runc delete --force ${id}`),
      });
      expect(existsSync(directory)).toBe(true);
      execFileSync('runc', ['delete', '--force', id]);
      await result; // the end of its output
      await store.containers.remove(id);
      expect(existsSync(directory)).toBe(false);
      expect(mounts()).not.toContain(store.root);
    });
  });

  it('say what is missing when there is no such runtime', async () => {
    await withImage(async (store) => {
      await expect(
        store.containers.run('box', { args: ['sh'], runtime: 'no-such-runtime' }),
      ).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' });
      expect(store.containers.list()).toEqual([]);
    });
  });

  it('are run by the command, which passes signals and the exit code', async () => {
    await withImage(async (store) => {
      const options = ['--root', store.root];
      const said = await runCommand(['run', ...options, 'box', 'sh', '-c', 'echo $0 out; exit 3']);
      expect(said).toMatchObject({ code: 3, stdout: 'sh out\n' });
      const script = 'trap "echo got it; exit 9" TERM; echo ready; while :; do sleep 0.1; done';
      const running = startCommand(['run', ...options, 'box', 'sh', '-c', script]);
      await new Promise((resolve) => running.process.stdout?.once('data', resolve));
      running.process.kill('SIGTERM');
      expect(await running.result).toMatchObject({ code: 9, stdout: 'ready\ngot it\n' });
      expect(store.containers.list()).toEqual([]);
      expect(mounts()).not.toContain(store.root);
    });
  });

  it('of two namespaces may have the same id', async () => {
    await withImage(async (store) => {
      const other = await Store.open(store.root, { namespace: 'other' });
      store.images.tag('box', 'box2');
      await store.containers.create('box', { id: 'web' });
      await expect(other.containers.create('box', { id: 'web' })).rejects.toMatchObject({
        code: 'ERR_STORE_NOT_FOUND',
      });
      await other.close();
    });
  });
});

/** Starts a program as a user without rights, at home in `home`. */
function asNobody(home: string): string[] {
  const ids = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  return ['setpriv', ...ids, 'env', `HOME=${home}`, `XDG_RUNTIME_DIR=${home}`];
}

function nobodyMissing(): string | undefined {
  try {
    const [program = '', ...args] = asNobody('/tmp');
    // It must be able to read the command, and to make user namespaces.
    const script = 'test -r "$0" && exec unshare -Ur true';
    execFileSync(program, [...args, 'sh', '-c', script, commandPath], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'a user without rights cannot read dist/ or make user namespaces';
  }
}

const noNobody = missing ?? nobodyMissing();

describe.skipIf(noNobody !== undefined)('containers of a user without rights', () => {
  it.each([
    ['run with kind native', []],
    ['run with overlayfs in a user namespace', ['unshare', '-Urm']],
  ])('%s', async (_, namespace) => {
    await withScratch(async (scratch) => {
      execFileSync('chmod', ['777', scratch]);
      const reference = await writeImage(path.join(scratch, 'layout'), busyboxLayers());
      execFileSync('chmod', ['-R', 'a+rX', path.join(scratch, 'layout')]);
      const wrapper = [...asNobody(scratch), ...namespace];
      const imported = await runCommand(['import', reference, '--name', 'box', '-q'], { wrapper });
      expect(imported).toMatchObject({ code: 0, stderr: '' });
      const bundle = path.join(scratch, 'bundle');
      const script = 'id -u; cat /top; echo x > /work/x; exit 6';
      const written = await runCommand(
        ['bundle', 'box', bundle, '--id', 'b', '--json', '--', 'sh', '-c', script],
        { wrapper },
      );
      expect(written).toMatchObject({ code: 0, stderr: '' });
      const { linux } = JSON.parse(written.stdout).config;
      if (namespace.length === 0) {
        expect(linux.uidMappings).toEqual([{ containerID: 0, hostID: 65534, size: 1 }]);
      }
      expect(linux.cgroupsPath).toBeUndefined();
      expect((await runCommand(['containers', 'rm', 'b'], { wrapper })).code).toBe(0);
      const run = await runCommand(['run', 'box', 'sh', '-c', script], { wrapper });
      expect([run.code, run.stdout]).toEqual([6, '0\ntop']);
      expect((await runCommand(['containers', 'ls', '-q'], { wrapper })).stdout).toBe('');
    });
  });
});
