// `bench --registry` on a small image in a real registry, and the throttle that it measures through.

import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { which } from '../../src/bench/process.js';
import { runPullBench } from '../../src/bench/pull/measure.js';
import { startThrottle } from '../../src/bench/pull/throttle.js';
import { runCommand } from '../support/command.js';
import { usePullFixture } from '../support/pull.js';
import { registryAbsence } from '../support/registry.js';
import { platform } from '../support/write-image.js';

const cannot =
  process.geteuid?.() !== 0 || process.arch !== 'x64'
    ? `not root, or not ${platform}`
    : registryAbsence;

describe.skipIf(cannot !== undefined)(`pulls${cannot ? ` (skipped: ${cannot})` : ''}`, () => {
  const fixture = usePullFixture();
  const bench = (...args: string[]) =>
    runCommand(['bench', '--registry', fixture.registry.url, '--smoke', ...args]);

  it('are measured beside a download and an unpack alone', async () => {
    const { code, stdout, stderr } = await bench('test/image', '--rates', '400', '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ kind: 'oci-unpack-bench-registry', schema: 1, runs: 1 });
    expect(report.results.map(({ rate }: { rate: number }) => rate)).toEqual([400]);
    for (const { rows, ratio, ratioFromFirstByte, layers, speedup } of report.results) {
      const [download, unpack, pull, containerd] = rows;
      expect(ratio).toBeCloseTo(
        pull.wall.median / Math.max(download.wall.median, unpack.wall.median),
      );
      // The starts are left out: Node's, and opening the store.
      for (const row of [download, pull]) {
        expect(row.fromFirstByte.median).toBeGreaterThan(0);
        expect(row.fromFirstByte.median).toBeLessThan(row.wall.median - 30);
        expect(row.samples).toMatchObject([{ fromFirstByte: row.fromFirstByte.median }]);
      }
      expect(unpack.samples).toMatchObject([{ call: unpack.call.median }]);
      expect(unpack.call.median).toBeLessThan(unpack.wall.median - 30);
      expect(unpack).not.toHaveProperty('fromFirstByte');
      expect(ratioFromFirstByte).toBeCloseTo(
        pull.fromFirstByte.median / Math.max(download.fromFirstByte.median, unpack.call.median),
      );
      expect(layers).toBe(4);
      expect(pull.samples).toMatchObject([{ wall: expect.any(Number) }]);
      if (which('containerd') !== undefined) {
        expect(speedup).toBeCloseTo(containerd.wall.median / pull.wall.median);
      }
    }
  });

  it('finds the images itself, and says what it cannot take', async () => {
    const table = await bench('--rates', '0', '--peers', 'none');
    expect(table.code).toBe(0);
    expect(table.stdout).toMatch(/unthrottled .* s .* s .* s/);
    expect(table.stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(table.stdout).toContain('test/image:latest');
    for (const [url, code] of [
      ['https://127.0.0.1:1', 2],
      ['127.0.0.1:1', 2],
      ['http://127.0.0.1:1', 1],
    ] as const) {
      expect((await runCommand(['bench', '--registry', url])).code).toBe(code);
    }
  });
});

describe('what is refused', () => {
  it.each([
    [401, 'ERR_REGISTRY_AUTH'],
    [200, 'ERR_IMAGE_NOT_FOUND'],
  ])('a registry that answers %i and lists nothing: %s', async (status, code) => {
    const server = createServer((_, response) => response.writeHead(status).end('{}'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const registry = `http://127.0.0.1:${port}`;
      await expect(runPullBench({ registry })).rejects.toMatchObject({ code });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('to wait after a stop', async () => {
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const registry = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const signal = AbortSignal.timeout(50);
      await expect(runPullBench({ registry, signal })).rejects.toMatchObject({
        code: 'ERR_ABORTED',
      });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('credentials', async () => {
    const registry = 'http://u:p@127.0.0.1:1';
    await expect(runPullBench({ registry })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });
});

describe('the throttle', () => {
  it('is in a group of its own, to which no Ctrl-C comes', async () => {
    const throttle = await startThrottle({ host: '127.0.0.1', port: 1 }, 1e6);
    try {
      const listed = execFileSync('ps', ['--ppid', `${process.pid}`, '-o', 'pid=,pgid=,args=']);
      const [, pid, group] = /^ *(\d+) +(\d+) .* throttle /m.exec(listed.toString()) ?? [];
      expect(pid).toBeDefined();
      expect(group).toBe(pid);
    } finally {
      await throttle.close();
    }
  });

  it('knows when the first byte of a run came back', async () => {
    const pause = 50;
    const server = createServer((_, response) => setTimeout(() => response.end('x'), pause));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const throttle = await startThrottle({ host: '127.0.0.1', port }, 10e6);
    const now = () => Number(process.hrtime.bigint()) / 1e6;
    try {
      expect(await throttle.firstByte()).toBeUndefined();
      const asked = now();
      await (await fetch(`http://${throttle.host}/`)).text();
      const answered = now();
      await (await fetch(`http://${throttle.host}/`)).text();
      const first = await throttle.firstByte();
      expect(first).toBeGreaterThan(asked + pause - 2);
      expect(first).toBeLessThan(answered);
      expect(await throttle.firstByte()).toBeUndefined();
    } finally {
      await throttle.close();
      server.closeAllConnections();
      server.close();
    }
  });

  it('keeps to its rate, all connections together', async () => {
    const rate = 10e6;
    const body = Buffer.alloc(2_000_000);
    const server = createServer((_, response) => response.end(body));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const throttle = await startThrottle({ host: '127.0.0.1', port }, rate);
    try {
      const started = performance.now();
      const get = async () =>
        (await (await fetch(`http://${throttle.host}/`)).arrayBuffer()).byteLength;
      expect(await Promise.all([get(), get(), get()])).toEqual(Array(3).fill(body.length));
      const seconds = (performance.now() - started) / 1000;
      // Ahead of the rate: 100 ms of it after a pause, and the last piece of each connection.
      const ahead = 0.1 * rate + 3 * 256 * 1024;
      expect(seconds).toBeGreaterThan((3 * body.length - ahead) / rate);
    } finally {
      expect(await throttle.close()).toBeGreaterThan(3 * body.length);
      server.closeAllConnections();
      server.close();
    }
  });
});
