// The demo as a user runs it: real files in, and no path different.

import { spawnSync } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { DemoReport } from '../../src/demo/index.js';
import { commandPath, startCommand } from '../support/command.js';
import { withScratch } from '../support/scratch.js';

const root = process.getuid?.() === 0;
const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];

/** Whether anybody may read this folder; in /root nobody may. */
function isReadable(): boolean {
  const [command = '', ...args] = [...nobody, 'test', '-r', commandPath];
  return root && spawnSync(command, args).status === 0;
}

async function demo(wrapper: string[] = []): Promise<DemoReport> {
  return withScratch(async (scratch) => {
    const directory = wrapper.length > 0 ? [] : ['--dir', scratch];
    const running = startCommand(['demo', '--runs', '1', '--json', ...directory], { wrapper });
    const { code, stdout, stderr } = await running.result;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(await readdir(scratch)).toEqual([]);
    return JSON.parse(stdout);
  });
}

function expectEqual({ equal, layers, result }: DemoReport): void {
  expect(equal).toBe(true);
  expect(layers).toHaveLength(4);
  expect(result.files).toBeGreaterThan(1000);
  for (const row of result.rows) {
    expect(row.differences).toEqual([]);
    expect(row.paths).toBeGreaterThan(1000);
    expect(row.samples).toHaveLength(1);
  }
}

test('unpacks real files and finds no difference', { timeout: 120_000 }, async () => {
  const report = await demo();
  expectEqual(report);
  if (root) {
    expect(report.view).toBe('overlayfs');
  }
});

test.skipIf(!isReadable())(
  'also without rights (needs root, to drop it, and a folder that anybody may read)',
  { timeout: 120_000 },
  async () => {
    const report = await demo(nobody);
    expectEqual(report);
    expect(report.view).toBe('merged');
  },
);

test('Ctrl-C ends it and leaves nothing', { timeout: 60_000 }, async () => {
  await withScratch(async (scratch) => {
    const { process: child, result } = startCommand(['demo', '--dir', scratch]);
    while ((await readdir(scratch)).length === 0) {
      await sleep(20); // from then on it is at work, and has its handlers
    }
    await sleep(500);
    child.kill('SIGINT');
    expect((await result).code).toBe(130);
    expect(await readdir(scratch)).toEqual([]);
  });
});
