// config.json out of an image's config.

import { describe, expect, it } from 'vitest';
import { makeSpec, type ProcessOptions } from '../../src/containers/runtime-spec.js';
import type { ImageConfig } from '../../src/oci/index.js';

const image: ImageConfig = {
  os: 'linux',
  architecture: 'amd64',
  created: '2026-01-02T03:04:05Z',
  rootfs: { type: 'layers', diff_ids: [] },
  config: {
    Env: ['PATH=/opt/bin', 'A=1', 'EMPTY='],
    Entrypoint: ['/entry'],
    Cmd: ['cmd', 'arg'],
    WorkingDir: '/work',
    User: 'node',
    StopSignal: 'SIGQUIT',
    ExposedPorts: { '80/tcp': {}, '443/tcp': {} },
    Labels: { team: 'web', 'org.opencontainers.image.author': 'me' },
  },
};

function spec(options: ProcessOptions = {}, more: Partial<Parameters<typeof makeSpec>[0]> = {}) {
  const user = { uid: 1000, gid: 1001, additionalGids: [1001, 5] };
  const source = { id: 'web', namespace: 'default', image, rootfs: 'rootfs', user };
  return makeSpec({ ...source, ...more }, options);
}

describe('makeSpec', () => {
  it('takes the process from the image', () => {
    const { process, root, hostname, annotations, linux } = spec();
    expect(process).toMatchObject({
      terminal: false,
      user: { uid: 1000, gid: 1001, additionalGids: [1001, 5] },
      args: ['/entry', 'cmd', 'arg'],
      env: ['PATH=/opt/bin', 'A=1', 'EMPTY='],
      cwd: '/work',
    });
    expect(root).toEqual({ path: 'rootfs', readonly: false });
    expect(hostname).toBe('web');
    expect(annotations).toMatchObject({
      team: 'web',
      'org.opencontainers.image.author': 'me',
      'org.opencontainers.image.os': 'linux',
      'org.opencontainers.image.created': '2026-01-02T03:04:05Z',
      'org.opencontainers.image.stopSignal': 'SIGQUIT',
      'org.opencontainers.image.exposedPorts': '80/tcp,443/tcp',
    });
    expect(linux.cgroupsPath).toBe('/default/web');
  });

  it("has containerd's capabilities, mounts, masked paths and namespaces", () => {
    const { process, mounts, linux } = spec();
    expect(process.capabilities.bounding).toHaveLength(14);
    expect(process.capabilities.effective).toContain('CAP_NET_RAW');
    expect(mounts.map(({ destination }) => destination)).toEqual([
      '/proc',
      '/dev',
      '/dev/pts',
      '/dev/shm',
      '/dev/mqueue',
      '/sys',
      '/run',
    ]);
    expect(linux.maskedPaths).toContain('/proc/kcore');
    expect(linux.readonlyPaths).toContain('/proc/sys');
    expect(linux.namespaces.map(({ type }) => type)).toEqual([
      'pid',
      'ipc',
      'uts',
      'mount',
      'network',
    ]);
  });

  it('lets the caller say otherwise', () => {
    expect(spec({ args: ['x'] }).process.args).toEqual(['/entry', 'x']);
    expect(spec({ args: ['x'], entrypoint: [] }).process.args).toEqual(['x']);
    expect(spec({ entrypoint: ['/other'] }).process.args).toEqual(['/other']);
    const { env } = spec({ env: ['A=2', 'B=x=y', 'NOT_SET_ANYWHERE'] }).process;
    expect(env).toEqual(['PATH=/opt/bin', 'A=2', 'EMPTY=', 'B=x=y']);
    expect(spec({ cwd: '/tmp' }).process.cwd).toBe('/tmp');
    expect(spec({ terminal: true }).process.env).toContain('TERM=xterm');
    const shared = spec({ network: 'host' });
    expect(shared.linux.namespaces.map(({ type }) => type)).not.toContain('network');
    expect(shared.mounts.at(-1)).toMatchObject({ destination: '/etc/hosts', type: 'bind' });
  });

  it('has defaults where the image says nothing', () => {
    const bare = { rootfs: image.rootfs };
    const { process } = spec({ args: ['sh'] }, { image: bare });
    expect(process.cwd).toBe('/');
    expect(process.env).toEqual([
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ]);
    expect(() => spec({}, { image: bare })).toThrow(/neither entrypoint nor command/);
  });

  it('refuses what is malformed', () => {
    for (const options of [{ env: ['=x'] }, { cwd: 'relative' }]) {
      expect(() => spec(options)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      );
    }
  });

  it('has a form for users without rights', () => {
    const { linux, mounts, process } = spec({}, { rootless: { uid: 1234, gid: 5678 } });
    expect(linux.uidMappings).toEqual([{ containerID: 0, hostID: 1234, size: 1 }]);
    expect(linux.gidMappings).toEqual([{ containerID: 0, hostID: 5678, size: 1 }]);
    const types = linux.namespaces.map(({ type }) => type);
    expect(types).toContain('user');
    expect(types).not.toContain('network');
    expect(linux.resources).toBeUndefined();
    expect(linux.cgroupsPath).toBeUndefined();
    expect(process.user.additionalGids).toBeUndefined();
    expect(
      mounts.flatMap(({ options }) => options).filter((text) => /^[ug]id=/.test(text)),
    ).toEqual([]);
    expect(mounts.find(({ destination }) => destination === '/sys')).toMatchObject({
      type: 'none',
      source: '/sys',
    });
  });
});
