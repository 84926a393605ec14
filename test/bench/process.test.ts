// The programs that the bench runs.

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { hasExtraCertificates, runNode, runProcess, versionOf } from '../../src/bench/process.js';
import { withScratch } from '../support/scratch.js';

afterEach(() => vi.unstubAllEnvs());

test('programs of Node start without the authorities that the environment adds', async () => {
  const certificates = async () => {
    const script = 'process.stdout.write(String(process.env.NODE_EXTRA_CA_CERTS))';
    const { stdout, stderr } = await runNode(['-e', script]);
    expect(stderr).toBe(''); // Node complains there of a file that it cannot read
    return stdout;
  };
  vi.stubEnv('NODE_EXTRA_CA_CERTS', '/no/such/file.pem');
  expect(hasExtraCertificates()).toBe(true);
  expect(await certificates()).toBe('undefined');
  vi.stubEnv('NODE_EXTRA_CA_CERTS', '');
  expect(hasExtraCertificates()).toBe(false);
  expect(await certificates()).toBe('undefined');
});

test('a command that does not heed SIGTERM ends too', async () => {
  const stop = new AbortController();
  const running = runProcess('sh', ['-c', 'trap "" TERM; echo; while :; do sleep 0.1; done'], {
    signal: stop.signal,
  });
  const started = performance.now();
  setTimeout(() => stop.abort(), 100);
  await expect(running).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  expect(performance.now() - started).toBeLessThan(5000);
});

test('a program that is there and cannot be run is not one that is missing', async () => {
  await withScratch(async (bin) => {
    const file = path.join(bin, 'broken');
    await mkdir(bin, { recursive: true });
    await writeFile(file, '#!/bin/sh\necho error: no library >&2\nexit 127\n');
    await chmod(file, 0o755);
    vi.stubEnv('PATH', `${bin}:${process.env.PATH}`);
    await expect(versionOf('broken')).rejects.toThrow('no library');
    expect(await versionOf('no-such-program')).toBeUndefined();
    expect(await versionOf('sh')).toBeDefined();
  });
});
