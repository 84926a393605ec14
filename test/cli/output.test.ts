// What a command prints arrives, whatever stdout is.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Database } from '../../src/metadata/index.js';
import { commandPath, runCommand } from '../support/command.js';
import { withScratch } from '../support/scratch.js';
import { withTmpfs } from '../support/tmpfs.js';

const isRoot = process.geteuid?.() === 0;

/** A store of which lists and JSON take more than the 64 KB that a pipe holds. */
async function withManyImages(work: (root: string) => Promise<void>): Promise<void> {
  await withScratch(async (root) => {
    const database = Database.open(root, { durability: 'none' });
    const target = { mediaType: 'a/b', digest: `sha256:${'0'.repeat(64)}`, size: 1 };
    database.update((tx) => {
      for (let at = 0; at < 3000; at++) {
        tx.images.create({ name: `registry.example/team/image${at}`, target });
      }
    });
    await database.close();
    await work(root);
  });
}

/** Runs a command in a shell, with `script` behind it. */
async function shell(script: string, ...args: string[]): Promise<[number, string, string]> {
  const words = ['-c', `set -o pipefail; "$@" ${script}`, 'bash', process.execPath, commandPath];
  const child = spawn('bash', [...words, ...args]);
  const texts = [child.stdout, child.stderr].map(async (stream) => {
    let text = '';
    for await (const part of stream.setEncoding('utf8')) {
      text += part;
    }
    return text;
  });
  const [code] = (await once(child, 'close')) as [number];
  const [stdout = '', stderr = ''] = await Promise.all(texts);
  return [code, stdout, stderr];
}

describe('what a command prints', () => {
  it('arrives in a socket, in a file, in one that it is appended to, and with a slow reader', async () => {
    await withManyImages(async (root) => {
      for (const given of [
        ['images', 'ls', '-q'],
        ['images', 'ls', '--json'],
        ['images', 'ls'],
      ]) {
        const args = [...given, '--root', root];
        const { stdout } = await runCommand(args); // of Node's, which are sockets
        expect(stdout.length).toBeGreaterThan(1 << 16);
        // How long ago may change from one to the next.
        const exact = (text: string) => text.replace(/\S+( s)? ago$/gm, '');
        const same = ([code, text, stderr]: [number, string, string]) => {
          expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
          expect(exact(text)).toBe(exact(stdout));
        };
        same(await shell('| { sleep 0.3; cat; }', ...args));
        const file = path.join(root, 'file');
        const [code, , stderr] = await shell(`> ${file}`, ...args);
        same([code, await readFile(file, 'utf8'), stderr]);
        await shell(`>> ${file}`, ...args);
        expect(exact(await readFile(file, 'utf8'))).toBe(exact(stdout + stdout));
      }
    });
  });

  it('is cut without complaint for a reader that has seen enough', async () => {
    await withManyImages(async (root) => {
      const [code, stdout, stderr] = await shell('| head -c 4', 'images', 'ls', '--root', root);
      expect([code, stdout, stderr]).toEqual([0, 'NAME', '']);
    });
  });

  it.skipIf(!isRoot)('is told where it does not fit the disk', async () => {
    await withManyImages(async (root) => {
      await withTmpfs('size=16k', async (disk) => {
        const [code, , stderr] = await shell(`> ${disk}/file`, 'images', 'ls', '--root', root);
        expect(code).toBe(1);
        expect(stderr).toBe('oci-unpack: ERR_IO: stdout: ENOSPC: no space left on device, write\n');
      });
    });
  });
});
