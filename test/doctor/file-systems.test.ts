// The doctor on file systems that differ in what it looks for, as root and in a user namespace.

import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { HostReport } from '../../src/index.js';
import { runCommand } from '../support/command.js';
import { loopImageMissing, withLoopImage } from '../support/loop-image.js';
import { scratchRoot, withScratch } from '../support/scratch.js';

const run = promisify(execFile);
const root = process.getuid?.() === 0;
const ext4 = ['mkfs.ext4', '-q', '-F', '-O'];
const missing = root ? await loopImageMissing(['mkfs.ext4', '-q', '-F']) : 'needs root';
const missingXfs = root ? await loopImageMissing(['mkfs.xfs', '-q']) : 'needs root';
for (const why of new Set([missing, missingXfs].filter(Boolean))) {
  console.log(`skipped: ${why}`);
}
const namespace = ['unshare', '--user', '--map-root-user', '--mount'];

interface Doctored {
  code: number | null;
  report: HostReport;
  value(name: string): string | undefined;
  status(name: string): string | undefined;
}

async function doctor(directory: string, wrapper: readonly string[] = []): Promise<Doctored> {
  const { code, stdout } = await runCommand(['doctor', '--json', '--dir', directory], { wrapper });
  const report = JSON.parse(stdout) as HostReport;
  const find = (name: string) => report.checks.find((check) => check.name === name);
  return { code, report, value: (n) => find(n)?.value, status: (n) => find(n)?.status };
}

describe('doctor', () => {
  test.skipIf(!root)('on a tmpfs', async () => {
    const { code, report, value, status } = await doctor('/dev/shm');
    expect(code).toBe(0);
    expect(report).toMatchObject({ ok: true, losesFiles: false });
    expect(value('file-system')).toBe('tmpfs');
    expect(value('ext4-journal')).toBe('not ext4');
    expect(value('reflink')).toBe('no');
    for (const name of ['d-type', 'xattr-trusted', 'overlay-upper', 'opaque-copy-up-bug']) {
      expect([name, status(name)]).toEqual([name, 'ok']);
    }
  });

  test.skipIf(missing !== undefined)('sees whether an ext4 has a journal', async () => {
    await withLoopImage([...ext4, '^has_journal'], async (directory) => {
      const { code, value, status, report } = await doctor(directory);
      expect(code).toBe(0);
      expect([value('ext4-journal'), status('ext4-journal')]).toEqual(['no', 'warn']);
      expect(report.checks.find(({ name }) => name === 'ext4-journal')?.fix).toMatch(/tune2fs/);
      expect(status('free-bytes')).toBe('warn');
      expect(status('free-inodes')).toBe('warn');
    });
    await withLoopImage([...ext4, 'has_journal'], async (directory) => {
      expect((await doctor(directory)).value('ext4-journal')).toBe('yes');
    });
  });

  test.skipIf(missing !== undefined)('fails where listings have no types', async () => {
    await withLoopImage([...ext4, '^filetype'], async (directory) => {
      const { code, report, value, status } = await doctor(directory);
      expect(code).toBe(1);
      expect([value('d-type'), status('d-type')]).toEqual(['no', 'fail']);
      expect(report).toMatchObject({ ok: false, losesFiles: true });
      const { stdout } = await runCommand(['doctor', '--dir', directory]);
      expect(stdout).toMatch(/1 finding here loses files[\s\S]*fail +d-type[\s\S]*fix:/);
    });
  });

  test.skipIf(missingXfs !== undefined)('sees reflinks of an xfs', async () => {
    await withLoopImage(['mkfs.xfs', '-q', '-m', 'reflink=1'], async (directory) => {
      const { code, value } = await doctor(directory);
      expect(code).toBe(0);
      expect([value('file-system'), value('reflink')]).toEqual(['xfs', 'yes']);
    });
  });

  test.skipIf(!root)('says what an overlay as base cannot do', async () => {
    await withScratch(async (scratch) => {
      const at = (name: string) => path.join(scratch, name);
      await Promise.all(['lower', 'upper', 'work', 'merged'].map((name) => mkdir(at(name))));
      const options = `lowerdir=${at('lower')},upperdir=${at('upper')},workdir=${at('work')}`;
      await run('mount', ['-t', 'overlay', 'overlay', '-o', options, at('merged')]);
      try {
        for (const wrapper of [[], namespace]) {
          const { value, status } = await doctor(at('merged'), wrapper);
          expect([value('file-system'), status('file-system')]).toEqual(['overlay', 'warn']);
          expect([value('overlay-upper'), status('overlay-upper')]).toEqual(['no', 'warn']);
          expect(status('redirect-dir')).toBe('unknown');
          expect(status('opaque-copy-up-bug')).toBe('ok'); // by the release of the kernel
        }
      } finally {
        await run('umount', [at('merged')]);
      }
    });
  });

  test.skipIf(!root)('in a user namespace tries the marks that are used there', async () => {
    const { code, value, status, report } = await doctor(scratchRoot, namespace);
    expect(code).toBe(0);
    expect([value('xattr-trusted'), status('xattr-trusted')]).toEqual(['no', 'warn']);
    expect([value('xattr-user'), status('overlay-upper')]).toEqual(['yes', 'ok']);
    const bug = report.checks.find(({ name }) => name === 'opaque-copy-up-bug');
    expect(bug?.status).toBe('ok');
    expect(bug?.evidence).toContain('user.overlay.opaque');
  });
});
