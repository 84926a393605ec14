// The floor: its arithmetic, the native program, and the tree that it makes.

import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { floorContender, floorOf, type LayerFloor } from '../../src/bench/floor.js';
import { withBenchImage } from '../../src/bench/image.js';
import { nativeTool } from '../../src/bench/native-tool.js';
import { complaintOf, runProcess } from '../../src/bench/process.js';
import { digestOf } from '../../src/oci/index.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, hardlink, symlink, tar, whiteout } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const root = process.getuid?.() === 0;
const tool = nativeTool() ?? '';

function layer(inflate: number, hashBlob: number, hashTar: number, create: number): LayerFloor {
  const seconds = (cpu: number) => ({ cpu, wall: cpu * 2 });
  return {
    inflate: seconds(inflate),
    hashBlob: seconds(hashBlob),
    hashTar: seconds(hashTar),
    create: seconds(create),
    decoder: 'isa-l',
    digest: '',
    diffID: '',
    tarBytes: 0,
    files: 0,
    items: 0,
    failed: 0,
    firstFailure: '',
  };
}

describe('the arithmetic', () => {
  test('spreads all work evenly', () => {
    const layers = [layer(1, 0.25, 0.75, 2), layer(1, 0.25, 0.75, 2)];
    expect(floorOf(layers, 2)).toEqual({ wall: 4000, cpu: 8000, chain: 1000 });
    expect(floorOf(layers, 1).wall).toBe(8000);
  });

  test('is bounded by what cannot be split', () => {
    expect(floorOf([layer(3, 1, 2, 2), layer(1, 0, 0, 0)], 8)).toEqual({
      wall: 3000,
      cpu: 9000,
      chain: 3000,
    });
    expect(floorOf([layer(1, 1, 2, 40)], 64).wall).toBe(2000);
  });
});

describe('the native program', () => {
  test('says what a command used', async () => {
    const work =
      'const end = Date.now() + 300; while (Date.now() < end); Buffer.alloc(64 << 20, 1)';
    const { usage } = await runProcess(process.execPath, ['-e', work]);
    expect(usage?.user).toBeGreaterThan(100);
    expect(usage?.maxRss).toBeGreaterThan(64 << 20);
  });

  test('counts descendants, and passes the exit code on', async () => {
    const busy = 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done';
    const { usage } = await runProcess('sh', ['-c', `sh -c '${busy}' | cat`]);
    expect(usage?.user).toBeGreaterThan(50);
    await expect(runProcess('sh', ['-c', 'echo no such thing >&2; exit 3'])).rejects.toMatchObject({
      code: 'ERR_IO',
      message: 'sh: exit code 3: no such thing',
    });
    await expect(runProcess('/no/such/command', [])).rejects.toThrow(/exit code 127/);
  });

  test('ends a whole pipeline when it is cancelled', async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 200);
    const started = performance.now();
    const running = runProcess('sh', ['-c', 'sleep 30 | cat'], { signal: stop.signal });
    await expect(running).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test('refuses a blob that is not what it seems', async () => {
    await withScratch(async (scratch) => {
      const blob = path.join(scratch, 'blob');
      const bytes = gzipSync(tar([file('a', 'x'.repeat(5000))]));
      await writeFile(blob, bytes.subarray(0, bytes.length - 20));
      const args = ['floor', path.join(scratch, 'out'), blob, '0', String(bytes.length - 20)];
      await expect(runProcess(tool, args)).rejects.toThrow(/exit code 1/);
      await expect(runProcess(tool, ['floor'])).rejects.toThrow(/exit code 2/);
    });
  });

  test.runIf(root)('leaves the root by no symlink', async () => {
    await withScratch(async (scratch) => {
      await mkdir(path.join(scratch, 'outside'));
      const blob = path.join(scratch, 'blob');
      const bytes = tar([
        symlink('way', path.join(scratch, 'outside')),
        file('way/planted', 'x'),
        file('../outside/planted', 'x'),
        file('fine', 'x'),
      ]);
      await writeFile(blob, bytes);
      const out = path.join(scratch, 'out');
      const { stdout } = await runProcess(tool, ['floor', out, blob, '0', String(bytes.length)]);
      const [result] = JSON.parse(stdout) as LayerFloor[];
      expect(result?.diffID).toBe(digestOf(bytes));
      expect(await readFile(path.join(out, 'layers/000/fs/fine'), 'utf8')).toBe('x');
      await expect(stat(path.join(scratch, 'outside/planted'))).rejects.toThrow(/ENOENT/);
    });
  });
});

test.runIf(root)('its tree is the image', async () => {
  const items = [
    [
      dir('d', { mode: 0o2750, uid: 5, gid: 6 }),
      file('d/a', 'first', { mode: 0o4755, uid: 7 }),
      file('d/b', 'b'.repeat(300_000)),
      hardlink('d/c', 'd/b'),
      symlink('d/l', 'a'),
      dir('old'),
      file('old/gone', 'x'),
      file('gone', 'x'),
    ],
    [whiteout('gone'), whiteout('old'), dir('old'), file('old/new', 'y'), file('implicit/x', 'z')],
  ];
  await withScratch(async (scratch) => {
    const reference = await writeImage(path.join(scratch, 'layout'), items);
    await withBenchImage(reference, async (image) => {
      const place = { image, home: scratch };
      const destination = path.join(scratch, 'out');
      const contender = floorContender(true);
      expect(await contender.absence(place)).toBeUndefined();
      const facts = await contender.unpack(place, destination);
      expect(facts.note).not.toContain('could not be made');
      expect(facts.files).toBe(6);
      const { tree } = await contender.view(place, destination, []);
      expect([...tree.keys()]).toEqual([
        '',
        'd',
        'd/a',
        'd/b',
        'd/c',
        'd/l',
        'implicit',
        'implicit/x',
        'old',
        'old/new',
      ]);
      expect(tree.get('d')).toMatchObject({ mode: 0o2750, uid: 5, gid: 6 });
      expect(tree.get('d/a')).toMatchObject({ mode: 0o4755, uid: 7 });
      expect(tree.get('d/c')?.inode).toBe(tree.get('d/b')?.inode);
    });
  });
});

test('a complaint is the line that says most', () => {
  expect(complaintOf('a\nError: it broke\n    at x (y)\n\nNode.js v20\n')).toBe('Error: it broke');
  expect(complaintOf('only this\n')).toBe('only this');
});
