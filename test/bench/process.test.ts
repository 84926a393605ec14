// The programs that the bench runs.

import { afterEach, expect, test, vi } from 'vitest';
import { hasExtraCertificates, runNode } from '../../src/bench/process.js';

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
