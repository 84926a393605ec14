// The script that repairs a containerd: run by a shell against a real one, after damages; then all is clean again.

import { execFile } from 'node:child_process';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ContainerdStore } from '../../src/containerd/index.js';
import { containerdRepairScript } from '../../src/containerd/repair-script.js';
import { verifyContainerd } from '../../src/containerd/verify.js';
import { digestOf } from '../../src/oci/index.js';
import { ShellScript } from '../../src/verify/index.js';
import { noContainerd, type TestContainerd, withContainerd } from '../support/containerd.js';
import { damagedLayers } from '../support/containerd-chain.js';
import { type DamageKind, damageKinds } from '../support/damage.js';
import { damageLayers } from '../support/damage-image.js';
import { DamageRound } from '../support/damage-rounds.js';
import { inspector } from '../support/inspector.js';
import { withScratch } from '../support/scratch.js';
import { dir } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const run = promisify(execFile);
const image = 'example.test/damage:latest';
const marks: DamageKind[] = [
  'leaked-opaque',
  'lost-opaque',
  'lost-whiteout',
  'stray-whiteout',
  'foreign-marker',
];
const name = `it's -rf "$(touch /dev/null)" \\`;

describe.skipIf(noContainerd)(`a real containerd ${noContainerd ?? ''}`, () => {
  it.each([
    ['marks, in place', marks, undefined],
    ['all kinds, by unpacking again', damageKinds, undefined],
    ['all kinds of the native snapshotter', damageKinds, 'native'],
  ] as const)('is repaired: %s', async (_, kinds, snapshotter) => {
    await withFilled(async (daemon) => {
      const layers = await imageLayers(daemon, snapshotter);
      for (const seed of [1, 2, 3]) {
        const round = await DamageRound.of(layers, seed, kinds);
        expect(round.damages.length).toBeGreaterThan(4);
        const verification = await verifyContainerd({ root: daemon.root });
        const found = verification.report.snapshots.flatMap(({ findings }) => findings);
        expect(round.compare(found)).toEqual([]);
        const state = await stateOf(daemon);
        const script = await containerdRepairScript(verification);
        expect(await stateOf(daemon)).toEqual(state);
        expect(script.includes('\ndrop ')).toBe(kinds !== marks);
        await runScript(daemon, script);
        const after = await verifyContainerd({ root: daemon.root });
        expect(after.report.snapshots.flatMap(({ findings }) => findings)).toEqual([]);
        expect(after.report.notes).toEqual([]);
        if (kinds !== marks) {
          break; // The directories are new ones.
        }
      }
    }, snapshotter);
  });

  it('stops before what is in use, unless told otherwise', async () => {
    await withFilled(async (daemon) => {
      const store = ContainerdStore.open(daemon.root);
      const layers = await damagedLayers(store, 'default', image);
      const [top] = (await store.snapshots('default')).filter(
        (one) => one.stored?.directory === layers.at(-1)?.directory,
      );
      store.close();
      await daemon.ctr('default', 'containers', 'create', image, 'box');
      await daemon.ctr('default', 'snapshots', 'prepare', 'work', top?.key ?? '');
      await DamageRound.of(layers, 1, ['zero-length']);
      const script = await containerdRepairScript(await verifyContainerd({ root: daemon.root }));
      await expect(runScript(daemon, script)).rejects.toThrow('is in use');
      await runScript(daemon, script, { STOP_CONTAINERS: 'yes' });
      expect((await verifyContainerd({ root: daemon.root })).report.ok).toBe(true);
      expect(await daemon.rows('default', 'containers', 'ls')).toEqual([]);
    });
  });

  it('has snapshots removed on which one stood that the garbage collector took', async () => {
    await withFilled(async (daemon) => {
      await importOnTop(daemon);
      await daemon.ctr('default', 'images', 'rm', '--sync', 'example.test/updated:latest');
      const layers = await imageLayers(daemon);
      await DamageRound.of(layers.slice(-1), 1, ['zero-length']);
      const top = (await verifyContainerd({ root: daemon.root })).report.images[0]?.layers.at(-1);
      await expect(daemon.ctr('default', 'snapshots', 'rm', top ?? '')).rejects.toThrow('child');
      const script = await containerdRepairScript(await verifyContainerd({ root: daemon.root }));
      await runScript(daemon, script);
      const { report } = await verifyContainerd({ root: daemon.root });
      expect(report).toMatchObject({ ok: true, notes: [] });
    });
  });

  it('of one image unpacks others again that have its layers', async () => {
    await withFilled(async (daemon) => {
      await importOnTop(daemon);
      const layers = await imageLayers(daemon);
      await DamageRound.of(layers.slice(-1), 1, ['zero-length']);
      const one = await verifyContainerd({ root: daemon.root, image });
      expect(new Set(one.report.images.map(({ name: full }) => full.replace(/.*]/, '')))).toEqual(
        new Set([image]),
      );
      await runScript(daemon, await containerdRepairScript(one));
      const { report } = await verifyContainerd({ root: daemon.root });
      expect(report).toMatchObject({ ok: true, notes: [] });
    });
  });

  it('is not touched while a container has it mounted', async () => {
    await withFilled(async (daemon) => {
      const layers = await imageLayers(daemon);
      const [lower, upper] = layers.map(({ directory }) => directory);
      const target = `${path.dirname(daemon.root)}/mounted`;
      await mkdir(target);
      await DamageRound.of(layers.slice(0, 1), 1, ['leaked-opaque']);
      const script = await containerdRepairScript(await verifyContainerd({ root: daemon.root }));
      const options = [`lowerdir=${upper}:${lower}`];
      await inspector().request({ op: 'mount', type: 'overlay', source: 'x', target, options });
      await expect(runScript(daemon, script)).rejects.toThrow('is mounted');
      await inspector().request({ op: 'umount', target });
      await runScript(daemon, script);
      expect((await verifyContainerd({ root: daemon.root })).report.ok).toBe(true);
    });
  });

  it('has nothing to do where nothing was found', async () => {
    await withFilled(async (daemon) => {
      const script = await containerdRepairScript(await verifyContainerd({ root: daemon.root }));
      expect(script).toContain('# Nothing was found.');
      await runScript(daemon, script);
    });
  });
});

describe('words of a script', () => {
  const words: (string | Buffer)[] = [
    'plain',
    '',
    "it's",
    '-rf',
    '$(id) `id` "x" \\ * ~ # !',
    'new\nline\n\n',
    '\x1b[31mred',
    Buffer.from([0xff, 0xfe, 0x41, 0x30, 0x27, 0x0a]),
    'ä \u202e \u200b',
    '%s %n \\012',
  ];

  it.each(['sh', 'bash'])('are taken by %s as they are', async (shell) => {
    await withScratch(async (scratch) => {
      const script = new ShellScript();
      script.comment('a comment\nwith a new line; \x1b[31m');
      script.run('printf', '%s\\0', ...words);
      await writeFile(path.join(scratch, 'script'), script.toString());
      const { stdout } = await run(shell, [path.join(scratch, 'script')], { encoding: 'buffer' });
      expect(stdout).toEqual(
        Buffer.concat(words.flatMap((word) => [Buffer.from(word as string), Buffer.of(0)])),
      );
      expect(script.toString()).not.toContain('\x1b');
    });
  });
});

/** The layers of {@link image}, with what may be damaged in each. */
async function imageLayers(daemon: TestContainerd, snapshotter?: string) {
  const store = ContainerdStore.open(daemon.root);
  try {
    return await damagedLayers(store, 'default', image, snapshotter);
  } finally {
    store.close();
  }
}

/** Imports an image with one more layer. */
async function importOnTop(daemon: TestContainerd): Promise<void> {
  await withScratch(async (scratch) => {
    await writeImage(scratch, [...damageLayers, [dir('on-top')]], ['gzip', 'none']);
    await daemon.importLayout('default', 'example.test/updated', scratch);
  });
}

/** A containerd with an image of two names, one of them hostile, in two namespaces. */
function withFilled(
  work: (daemon: TestContainerd) => Promise<void>,
  snapshotter?: string,
): Promise<void> {
  return withContainerd(async (daemon) => {
    await withScratch(async (scratch) => {
      await writeImage(scratch, damageLayers, ['gzip', 'none']);
      const options = snapshotter === undefined ? [] : ['--snapshotter', snapshotter];
      for (const namespace of ['default', 'k8s.io']) {
        await daemon.importLayout(namespace, 'example.test/damage', scratch, ...options);
      }
      await daemon.ctr('default', 'images', 'tag', image, name);
    });
    await work(daemon);
  });
}

async function runScript(
  daemon: TestContainerd,
  script: string,
  environment: Record<string, string> = {},
): Promise<void> {
  const file = path.join(path.dirname(daemon.root), 'repair.sh');
  await writeFile(file, script);
  await run('sh', [file], { env: { ...process.env, CTR: daemon.command, ...environment } });
}

async function stateOf(daemon: TestContainerd): Promise<unknown> {
  const file = path.join(daemon.root, 'io.containerd.metadata.v1.bolt/meta.db');
  return [digestOf(await readFile(file)), (await stat(file)).mtimeMs];
}
