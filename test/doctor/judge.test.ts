import { describe, expect, test } from 'vitest';
import { judged } from '../../src/doctor/judge.js';
import type { Probe } from '../../src/native/index.js';

function probe(id: string, status: Probe['status'], value = ''): Probe {
  return { id, status, value, evidence: 'EPERM' };
}

function statusOf(probes: readonly Probe[], id: string): string | undefined {
  return judged(probes).find((one) => one.id === id)?.status;
}

describe('judged', () => {
  test('whiteouts fail where they can be written in neither way', () => {
    const device = probe('whiteout-device', 'warn');
    expect(statusOf([device, probe('xattr-whiteout', 'warn')], 'whiteout-device')).toBe('fail');
    expect(statusOf([device, probe('xattr-whiteout', 'ok')], 'whiteout-device')).toBe('warn');
  });

  test('opaque marks fail where they can be written in neither way', () => {
    const trusted = probe('xattr-trusted', 'warn');
    expect(statusOf([trusted, probe('xattr-user', 'warn')], 'xattr-trusted')).toBe('fail');
    expect(statusOf([trusted, probe('xattr-user', 'ok')], 'xattr-trusted')).toBe('warn');
  });

  test.each([
    ['3.10.0-327.el7.x86_64', 'unknown'],
    ['4.7.10', 'unknown'],
    ['4.8.0-rc1', 'ok'],
    ['4.18.0-553.el8', 'ok'],
    ['6.18.44', 'ok'],
    ['', 'unknown'],
  ])('the bug that could not be tried, on %s, is %s', (release, status) => {
    const bug = probe('opaque-copy-up-bug', 'unknown', 'not tested');
    expect(statusOf([probe('kernel', 'ok', release), bug], bug.id)).toBe(status);
  });

  test('what was tried stays, whatever the release', () => {
    const bug = probe('opaque-copy-up-bug', 'fail', 'yes');
    expect(statusOf([probe('kernel', 'ok', '6.18.44'), bug], bug.id)).toBe('fail');
  });
});
