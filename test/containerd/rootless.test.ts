// A real containerd in a user namespace. It applies layers through an overlay mount, as containerd before 1.3 did
// everywhere: marks are the kernel's, in its way, and say the same.

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { chown } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifyContainerd } from '../../src/containerd/verify.js';
import type { Finding, VerifyReport } from '../../src/verify/index.js';
import { runCommand } from '../support/command.js';
import { noContainerd, type TestContainerd, withContainerd } from '../support/containerd.js';
import { withScratch } from '../support/scratch.js';
import {
  dir,
  file,
  hardlink,
  opaque,
  symlink,
  type TarItem,
  whiteout,
} from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const namespace = ['unshare', '--user', '--map-root-user', '--mount'];
/** Overlayfs on a tmpfs of another user namespace cannot remove what it has merged (EIO). */
const tmpfs = 0x01021994;

const noRootless: string | undefined =
  noContainerd ??
  (statfsSync(tmpdir()).type === tmpfs ? 'the temporary directory is a tmpfs' : undefined) ??
  (canUnshare() ? undefined : 'user namespaces are not allowed');

const layers: TarItem[][] = [
  [
    dir('./'),
    ...[dir('a'), file('a/old', 'x'), dir('a/sub'), file('a/sub/x', '1'), file('a/sub/y', '1')],
    ...[dir('b'), file('b/x', '1'), file('f', '1'), file('h', 'h'), dir('m'), file('m/x', '1')],
    ...[symlink('lib', 'usr/lib'), dir('usr'), dir('usr/lib')],
  ],
  [
    ...[dir('a'), opaque('a'), file('a/new', 'x'), dir('a/sub'), file('a/sub/z', '1')],
    ...[dir('new'), file('new/x', '1'), whiteout('b'), dir('f'), file('f/x', '1')],
    ...[file('lib/two', '2'), hardlink('h2', 'h'), dir('m'), file('m/y', '1')],
  ],
  [whiteout('a/new'), dir('b'), file('b/y', '1'), whiteout('none'), file('new/deep/x', '1')],
];

describe.skipIf(noRootless)(`a real containerd in a user namespace ${noRootless ?? ''}`, () => {
  it('is clean, though its marks are otherwise', async () => {
    await withRootless(async (daemon) => {
      const { report, findings } = await verify(daemon);
      expect(findings).toEqual([]);
      expect(report.ok).toBe(true);
      expect(report.snapshots.length).toBe(layers.length);
      expect(report.notes).toEqual([]);
    });
  });

  it('is found out where a mark hides what it should not', async () => {
    await withRootless(async (daemon) => {
      const at = (name: string) =>
        path.join(daemon.root, 'io.containerd.snapshotter.v1.overlayfs/snapshots/2/fs', name);
      // The bug: `m` hides what lies below. And what the opaque `a` hid is back.
      execFileSync('setfattr', ['-n', 'user.overlay.opaque', '-v', 'y', at('m')]);
      rmSync(at('a/old'));
      rmSync(at('b'));
      writeFileSync(at('extra'), '');
      mkdirSync(at('x'));
      const { report, findings } = await verify(daemon);
      expect(findings.map(({ kind, path: where }) => [kind, where])).toEqual([
        ['lost-opaque', 'a'],
        ['changed-time', 'a'],
        ['lost-whiteout', 'b'],
        ['extra-entry', 'extra'],
        ['leaked-opaque', 'm'],
        ['extra-entry', 'x'],
      ]);
      expect(report.images[0]?.hidden.paths).toEqual(['m/x']);
    });
  });

  it('is not read from outside, where owners are others', async () => {
    await withRootless(async (daemon) => {
      await chown(daemon.root, 1000, 1000);
      await expect(verifyContainerd({ root: daemon.root })).rejects.toThrow('nsenter -U');
    });
  });
});

async function withRootless(work: (daemon: TestContainerd) => Promise<void>): Promise<void> {
  await withContainerd(
    async (daemon) => {
      await withScratch(async (scratch) => {
        await writeImage(scratch, layers, ['gzip', 'none']);
        await daemon.importLayout('default', 'example.test/rootless', scratch);
      });
      await work(daemon);
    },
    namespace,
    tmpdir(),
  );
}

async function verify(
  daemon: TestContainerd,
): Promise<{ report: VerifyReport; findings: Finding[] }> {
  const args = ['verify', '--containerd', daemon.root, '--json'];
  const { stdout, stderr } = await runCommand(args, { wrapper: namespace });
  expect(stderr).toBe('');
  const report: VerifyReport = JSON.parse(stdout);
  return { report, findings: report.snapshots.flatMap((one) => one.findings) };
}

function canUnshare(): boolean {
  try {
    execFileSync(namespace[0] as string, [...namespace.slice(1), 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
