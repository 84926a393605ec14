import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkGroups, checkTexts } from '../../src/doctor/checks.js';
import { runCommand } from '../support/command.js';
import { withScratch } from '../support/scratch.js';

describe('oci-unpack doctor', () => {
  test('fits 80 columns, groups its checks, and names each of them once', async () => {
    for (const more of [[], ['--verbose']]) {
      const { stdout } = await runCommand(['doctor', ...more]);
      const lines = stdout.trimEnd().split('\n');
      expect(lines.filter((line) => line.length > 80)).toEqual([]);
      for (const title of Object.values(checkGroups)) {
        expect(lines).toContain(title);
      }
      for (const name of Object.keys(checkTexts)) {
        const named = lines.filter((line) => line.split(/ +/)[2] === name && /^ {2}\w/.test(line));
        expect([name, named.length]).toEqual([name, 1]);
      }
      expect(lines[1]).toBe('Nothing found here loses files.');
    }
  });

  test('--verbose says what all of it means', async () => {
    const { stdout } = await runCommand(['doctor', '--verbose']);
    const text = stdout.replace(/\s+/g, ' ');
    const seen = text.match(/ seen: /g) ?? [];
    expect(seen.length).toBe(Object.keys(checkTexts).length);
  });

  test('looks where the store is, or would be made', async () => {
    await withScratch(async (scratch) => {
      const at = async (args: string[]) => {
        const { stdout, code } = await runCommand(['doctor', '--json', ...args]);
        return { code, directory: JSON.parse(stdout).directory };
      };
      const store = path.join(scratch, 'not/yet');
      expect(await at(['--root', store])).toEqual({ code: 0, directory: scratch });
      await mkdir(store, { recursive: true });
      expect(await at(['--root', store])).toEqual({ code: 0, directory: store });
      expect(await readdir(store)).toEqual([]);
    });
  });

  test('says what makes each start of Node slow', async () => {
    const start = async (env: NodeJS.ProcessEnv) => {
      const { stdout } = await runCommand(['doctor', '--json'], { env });
      const { checks } = JSON.parse(stdout) as { checks: { name: string; status: string }[] };
      return checks.find(({ name }) => name === 'node-start')?.status;
    };
    expect(await start({ NODE_EXTRA_CA_CERTS: '' })).toBe('ok');
    const isSlow = Number.parseInt(process.versions.node, 10) < 22;
    expect(await start({ NODE_EXTRA_CA_CERTS: '/no/such/file.pem' })).toBe(isSlow ? 'warn' : 'ok');
  });

  test('of a directory that is not there is an error with its path', async () => {
    const { code, stderr } = await runCommand(['doctor', '--dir', '/nowhere/at/all']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/ERR_NOT_FOUND.*\/nowhere\/at\/all/);
  });
});
