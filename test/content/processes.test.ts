// Real processes on one content store: killed in the middle, and several for the same blob.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ContentStore } from '../../src/content/index.js';
import { Database } from '../../src/metadata/index.js';
import { digestOf } from '../../src/oci/index.js';
import { Random } from '../support/random.js';
import { withScratch } from '../support/scratch.js';

const program = path.join(import.meta.dirname, 'ingest-process.mjs');

function start(root: string, mode: string, seed = '') {
  const child = spawn(process.execPath, [program, root, mode, seed], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  return {
    child,
    lines: () => output.split('\n').slice(0, -1),
    ended: once(child, 'close'),
    said: async (count: number) => {
      while (output.split('\n').length <= count && child.exitCode === null) {
        await sleep(5);
      }
    },
  };
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function withContent(work: (content: ContentStore, root: string, db: Database) => unknown) {
  await withScratch(async (root) => {
    const database = Database.open(root);
    try {
      await work(new ContentStore({ root, database }), root, database);
    } finally {
      await database.close();
    }
  });
}

const names = (...parts: string[]) =>
  existsSync(path.join(...parts)) ? readdirSync(path.join(...parts)) : [];

describe('processes on one content store', () => {
  it('do not keep a ref when they are killed, and what they wrote is gone on with', () =>
    withContent(async (content) => {
      const { child, said, ended } = start(content.root, 'slow');
      await said(1);
      await expect(content.writer('slow')).rejects.toMatchObject({ code: 'ERR_STORE_BUSY' });
      await expect(content.abort('slow')).rejects.toMatchObject({ code: 'ERR_STORE_BUSY' });
      expect((await content.cleanup({ ingestAge: 0 })).ingests).toEqual([]);
      child.kill('SIGKILL');
      await ended;
      const writer = await content.writer('slow', { size: 200_000 });
      expect(writer.offset).toBe(100_000);
      await writer.write(Buffer.alloc(100_000, 'x'));
      expect((await writer.commit()).digest).toBe(digestOf('x'.repeat(200_000)));
    }));

  it('share one write of the same blob', () =>
    withContent(async (content) => {
      const writers = Array.from({ length: 3 }, () => start(content.root, 'one'));
      await Promise.all(writers.map(({ ended }) => ended));
      const lines = writers.flatMap((writer) => writer.lines());
      const digest = digestOf('x'.repeat(200_000));
      expect(lines.sort()).toEqual([`0 ${digest}`, `0 ${digest}`, `1 ${digest}`]);
    }));

  it(
    'leave whole blobs with records, and what cleanup removes, when they are killed, 6 times',
    () =>
      withContent(async (content, root, database) => {
        const random = new Random(7);
        for (let round = 0; round < 6; round++) {
          const writers = Array.from({ length: 1 + (round % 2) }, (_, n) =>
            start(root, 'many', `${round >> 1} ${n * (round % 4)}`),
          );
          await Promise.all(writers.map(({ said }) => said(1)));
          await sleep(random.below(60));
          for (const { child } of writers) {
            child.kill('SIGKILL');
          }
          await Promise.all(writers.map(({ ended }) => ended));
          const digests = database.view((tx) => tx.content.digests());
          for (const digest of digests) {
            expect(digestOf(readFileSync(await content.path(digest)))).toBe(digest);
          }
          if (writers.length === 1) {
            // All but every fourth, which it deleted, and perhaps the last one.
            const said = writers[0]?.lines().filter((_, n) => n % 4 !== 3) ?? [];
            expect(digests).toEqual(expect.arrayContaining(said));
          }
          await content.cleanup({ ingestAge: 0 });
          expect(
            names(root, 'blobs', 'sha256')
              .map((hex) => `sha256:${hex}`)
              .sort(),
          ).toEqual(digests);
          expect(names(root, 'ingest')).toEqual([]);
          for (const digest of digests) {
            await content.delete(digest);
          }
          expect(names(root, 'blobs', 'sha256')).toEqual([]);
        }
      }),
    120_000,
  );

  it('agree with their records whichever step a killed process did not come to', async () => {
    let step = 0;
    for (let ended = false; !ended; ) {
      step++;
      // A new store each, so that the steps are the same.
      await withContent(async (content, root, database) => {
        const process = start(root, 'dying', String(step));
        await process.ended;
        const digests = database.view((tx) => tx.content.digests());
        for (const digest of digests) {
          expect(digestOf(readFileSync(await content.path(digest)))).toBe(digest);
        }
        await content.cleanup({ ingestAge: 0 });
        expect(names(root, 'blobs', 'sha256').map((hex) => `sha256:${hex}`)).toEqual(digests);
        expect(names(root, 'ingest')).toEqual([]);
        ended = process.child.signalCode === null;
        if (ended) {
          expect(process.lines()).toEqual(['written', 'deleted']);
        }
      });
    }
    expect(step).toBeGreaterThan(20);
  }, 120_000);
});
