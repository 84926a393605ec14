// Pieces of a blob become big writes, in order, one at a time, in buffers that are used again.

import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { ContentWriter } from '../../src/content/index.js';
import { GatheredWrites } from '../../src/pull/gathered-writes.js';

const mebibyte = 1024 * 1024;

/** A file whose writes take until `release` is called; `failAt` is the write that fails. */
function slowFile(failAt = Number.POSITIVE_INFINITY) {
  const written: Buffer[] = [];
  const waiting: (() => void)[] = [];
  let running = 0;
  const writer = {
    async write(bytes: Uint8Array) {
      expect(++running).toBe(1);
      const before = Buffer.from(bytes);
      await new Promise<void>((resolve) => waiting.push(resolve));
      running--;
      expect(before.equals(bytes)).toBe(true); // nobody has used its memory meanwhile
      if (written.length === failAt) {
        throw new Error('full');
      }
      written.push(before);
    },
  } as unknown as ContentWriter;
  const release = async () => {
    waiting.shift()?.();
    await setImmediate();
  };
  return { writer, written, release };
}

function* pieces(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) {
    yield Buffer.from(bytes.subarray(at, at + size));
  }
}

it.each([100_000, mebibyte, 4 * mebibyte])('pieces of %i bytes', async (size) => {
  const bytes = Buffer.from(Array.from({ length: 9 * mebibyte + 5 }, (_, at) => (at * 7) >> 6));
  const spare: Buffer[] = [];
  for (let turn = 0; turn < 2; turn++) {
    const file = slowFile();
    const gathered = new GatheredWrites(file.writer, spare);
    for (const piece of pieces(bytes, size)) {
      let kept = gathered.write(piece) === undefined;
      piece.fill(0); // its memory is used again
      for (; !kept; kept = gathered.write(Buffer.alloc(0)) === undefined) {
        await file.release();
      }
    }
    let flushed = false;
    const flush = gathered.flush().then(() => {
      flushed = true;
    });
    while (!flushed) {
      await file.release();
    }
    await flush;
    expect(Buffer.concat(file.written).equals(bytes)).toBe(true);
    expect(file.written.slice(0, -1).every(({ length }) => length === mebibyte)).toBe(true);
  }
  expect(spare.length).toBe(new Set(spare).size);
  expect(spare.length).toBeLessThanOrEqual(3 + Math.ceil(size / mebibyte));
});

it('who gives more, or flushes, hears of a write that failed', async () => {
  const file = slowFile(1);
  const gathered = new GatheredWrites(file.writer, []);
  expect(gathered.write(Buffer.alloc(mebibyte))).toBeUndefined();
  const wait = gathered.write(Buffer.alloc(mebibyte));
  await file.release();
  await file.release();
  await expect(wait).rejects.toThrow('full');
  await expect(gathered.flush()).rejects.toThrow('full');
  const more = gathered.write(Buffer.alloc(2 * mebibyte));
  await expect(more).rejects.toThrow('full');
});
