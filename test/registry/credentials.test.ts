import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findCredentials } from '../../src/registry/credentials.js';
import { withScratch } from '../support/scratch.js';

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** Looks up with `config` as ~/.docker/config.json. */
function lookUp(config: unknown, host: string, repository = 'a/b') {
  return withScratch(async (home) => {
    await mkdir(path.join(home, '.docker'));
    await writeFile(path.join(home, '.docker/config.json'), JSON.stringify(config));
    return findCredentials(host, repository, { env: { HOME: home } });
  });
}

describe('credentials', () => {
  it.each([
    ['docker.io', { 'https://index.docker.io/v1/': { auth: base64('u:p:q') } }],
    ['host.example:5000', { 'host.example:5000': { auth: base64('u:p:q') } }],
    ['host.example', { 'https://host.example/v2/': { auth: base64('u:p:q') } }],
    ['host.example', { 'host.example': { username: 'u', password: 'p:q' } }],
  ])('of %s', async (host, auths) => {
    expect(await lookUp({ auths }, host)).toEqual({ username: 'u', password: 'p:q' });
  });

  it('of the longest path of the repository', async () => {
    const auths = {
      h: { auth: base64('host:1') },
      'h/a': { auth: base64('a:1') },
      'h/a/b': { auth: base64('ab:1') },
    };
    expect(await lookUp({ auths }, 'h', 'a/b')).toMatchObject({ username: 'ab' });
    expect(await lookUp({ auths }, 'h', 'a/c')).toMatchObject({ username: 'a' });
    expect(await lookUp({ auths }, 'h', 'ab')).toMatchObject({ username: 'host' });
  });

  it('never of another host', async () => {
    const auths = {
      'evil.example': { auth: base64('u:p') },
      'host.example.evil': { auth: base64('u:p') },
    };
    expect(await lookUp({ auths }, 'host.example')).toBeUndefined();
    expect(await lookUp({ auths }, 'example')).toBeUndefined();
  });

  it('tokens', async () => {
    expect(await lookUp({ auths: { h: { identitytoken: 'i' } } }, 'h')).toEqual({
      identityToken: 'i',
    });
    expect(await lookUp({ auths: { h: { registrytoken: 'r' } } }, 'h')).toEqual({
      registryToken: 'r',
    });
    expect(await lookUp({ auths: { h: {} } }, 'h')).toBeUndefined();
  });

  it('a file that is no JSON is told without its content', async () => {
    await withScratch(async (home) => {
      const authFile = path.join(home, 'auth.json');
      await writeFile(authFile, '{"auths": secret');
      const error = await findCredentials('h', 'a', { authFile }).catch((reason) => reason);
      expect(error).toMatchObject({ code: 'ERR_CREDENTIALS', path: authFile });
      expect(JSON.stringify(error) + String(error.cause)).not.toContain('secret');
    });
  });

  it('$REGISTRY_AUTH_FILE comes before the others', async () => {
    await withScratch(async (home) => {
      const file = path.join(home, 'auth.json');
      await writeFile(file, JSON.stringify({ auths: { h: { auth: base64('env:1') } } }));
      await mkdir(path.join(home, '.docker'));
      await writeFile(
        path.join(home, '.docker/config.json'),
        JSON.stringify({ auths: { h: { auth: base64('docker:1') } } }),
      );
      const env = { HOME: home, REGISTRY_AUTH_FILE: file };
      expect(await findCredentials('h', 'a', { env })).toMatchObject({ username: 'env' });
      expect(await findCredentials('h', 'a', { env: { HOME: home } })).toMatchObject({
        username: 'docker',
      });
    });
  });

  describe('of a helper', () => {
    const helper = `#!/bin/sh
read server
case "$server" in
  h) echo '{"ServerURL":"h","Username":"u","Secret":"s"}' ;;
  t) echo '{"ServerURL":"t","Username":"<token>","Secret":"identity"}' ;;
  broken) echo nonsense ;;
  null) echo null ;;
  empty) echo '{"Username":"","Secret":""}' ;;
  endless) exec yes ;;
  daemon) sleep 600 & echo $! > "$HOME/child"; echo '{"Username":"u","Secret":"s"}' ;;
  *) echo "credentials not found in native keychain"; exit 1 ;;
esac
`;
    const ask = (
      config: object,
      host: string,
      afterwards: (home: string) => Promise<void> = async () => {},
    ) =>
      withScratch(async (home) => {
        const program = path.join(home, 'docker-credential-fake');
        await writeFile(program, helper);
        await chmod(program, 0o755);
        await mkdir(path.join(home, '.docker'));
        await writeFile(path.join(home, '.docker/config.json'), JSON.stringify(config));
        const env = { HOME: home, PATH: `${home}:${process.env.PATH}` };
        const found = await findCredentials(host, 'a/b', { env });
        await afterwards(home);
        return found;
      });

    it('for one host, and for all', async () => {
      const wanted = { username: 'u', password: 's' };
      expect(await ask({ credHelpers: { h: 'fake' } }, 'h')).toEqual(wanted);
      expect(await ask({ credsStore: 'fake' }, 'h')).toEqual(wanted);
      expect(await ask({ credsStore: 'fake' }, 't')).toEqual({ identityToken: 'identity' });
      expect(await ask({ credsStore: 'fake' }, 'unknown')).toBeUndefined();
      expect(await ask({ credsStore: 'fake' }, 'empty')).toBeUndefined();
    });

    it('that leaves a child behind is not waited for any longer', async () => {
      const found = await ask({ credsStore: 'fake' }, 'daemon', async (home) => {
        const child = Number(await readFile(path.join(home, 'child'), 'utf8'));
        expect(process.kill(child, 'SIGKILL')).toBe(true); // ESRCH had it ended before
      });
      expect(found).toEqual({ username: 'u', password: 's' });
    });

    it('that is not there keeps no process alive', async () => {
      const timers = () => process.getActiveResourcesInfo().filter((one) => one === 'Timeout');
      const before = timers().length;
      await expect(ask({ credsStore: 'absent' }, 'h')).rejects.toThrow('not on PATH');
      expect(timers()).toHaveLength(before);
    });

    it('that fails is an error', async () => {
      for (const [name, host] of [
        ['fake', 'broken'],
        ['fake', 'null'],
        ['fake', 'endless'],
        ['absent', 'h'],
        ['../fake', 'h'],
      ] as const) {
        await expect(ask({ credHelpers: { [host]: name } }, host)).rejects.toMatchObject({
          code: 'ERR_CREDENTIALS',
        });
      }
    });
  });
});
