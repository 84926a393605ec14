import { readdir } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { checkTexts } from '../../src/doctor/checks.js';
import { examineHost, UnpackError } from '../../src/index.js';
import { loadBinding } from '../../src/native/index.js';
import { runCommand } from '../support/command.js';
import { overlayMissing } from '../support/mount.js';
import { withScratch } from '../support/scratch.js';

const root = process.getuid?.() === 0;

describe('examineHost', () => {
  test('has a text for every check, and a check for every text', async () => {
    const { checks, ok, platform } = await examineHost();
    expect(checks.map(({ name }) => name).sort()).toEqual(Object.keys(checkTexts).sort());
    for (const { status, value, meaning, fix, evidence } of checks) {
      expect(['ok', 'warn', 'fail', 'unknown']).toContain(status);
      expect(value).not.toBe('');
      expect(meaning).not.toBe('');
      expect(evidence).not.toBe('');
      expect(fix === '').toBe(status === 'ok');
    }
    expect(ok).toBe(checks.every(({ status }) => status !== 'fail'));
    expect(platform).toBe(`${process.platform}/${process.arch}`);
  });

  test('tells the truth of this host', async () => {
    await withScratch(async (scratch) => {
      const { checks, directory } = await examineHost({ directory: scratch });
      const found = (name: string) => checks.find((check) => check.name === name)?.value;
      expect(directory).toBe(scratch);
      expect(found('gzip-decoder')).toBe(loadBinding().decoders().gzip);
      expect(found('zstd-decoder')).toMatch(/^1\.\d+\.\d+$/);
      expect(found('workers')).toBe(String(loadBinding().workers()));
      expect(found('node')).toBe(process.versions.node);
      if (root) {
        expect(found('overlay-mount')).toBe((await overlayMissing()) === undefined ? 'yes' : 'no');
      }
      expect(await readdir(scratch)).toEqual([]);
    });
  });

  test('of a directory that is not there is an error', async () => {
    const failure = await examineHost({ directory: '/nowhere/at/all' }).catch((error) => error);
    expect(failure).toBeInstanceOf(UnpackError);
    expect(failure.code).toBe('ERR_NOT_FOUND');
  });

  test.skipIf(!root)(
    'without rights finds what does not work (needs root, to drop it)',
    async () => {
      const wrapper = ['setpriv', '--bounding-set=-all', '--'];
      const { code, stdout } = await runCommand(['doctor', '--json', '--dir', '/tmp'], { wrapper });
      expect(code).toBe(0);
      const { checks, ok } = JSON.parse(stdout) as Awaited<ReturnType<typeof examineHost>>;
      expect(ok).toBe(true);
      const without = checks.filter(({ status }) => status === 'warn').map(({ name }) => name);
      expect(without).toEqual(expect.arrayContaining(['chown', 'xattr-trusted', 'overlay-mount']));
    },
  );

  test.skipIf(!root).each(['fowner', 'fsetid'])(
    'finds that files of others cannot be finished without CAP_%s',
    async (capability) => {
      const wrapper = ['setpriv', `--bounding-set=-${capability}`, '--'];
      const { stdout } = await runCommand(['doctor', '--json', '--dir', '/tmp'], { wrapper });
      const { checks } = JSON.parse(stdout) as Awaited<ReturnType<typeof examineHost>>;
      const found = checks.find(({ name }) => name === 'chown');
      expect([found?.status, found?.value]).toEqual(['warn', 'no']);
    },
  );

  test.skipIf(!root)('without /proc', async () => {
    const wrapper = ['unshare', '--mount', 'sh', '-c', 'umount -l /proc && exec "$@"', 'sh'];
    const { stdout } = await runCommand(['doctor', '--json', '--dir', '/tmp'], { wrapper });
    const { checks } = JSON.parse(stdout) as Awaited<ReturnType<typeof examineHost>>;
    const status = (name: string) => checks.find((check) => check.name === name)?.status;
    expect([status('ext4-journal'), status('chown')]).toEqual(['unknown', 'ok']);
    await withScratch(async (scratch) => {
      const args = ['--root', `${scratch}/store`, 'import', 'oci:x', '--json'];
      const failed = JSON.parse((await runCommand(args, { wrapper })).stdout);
      expect(failed.error).toMatchObject({ code: 'ERR_UNSUPPORTED' });
      expect(failed.error.message).toContain('/proc');
    });
  });
});
