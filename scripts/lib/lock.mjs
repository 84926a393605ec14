// One set-up at a time in this folder: a file with the process id of the one that works.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { root, say } from './process.mjs';

const path = join(root, 'build/.setup.lock');

/**
 * Runs `body` while holding the lock.
 * @template T
 * @param {() => Promise<T>} body
 */
export async function withLock(body) {
  mkdirSync(join(root, 'build'), { recursive: true });
  let said = false;
  while (!take()) {
    if (!said) {
      say('waiting for another set-up in this folder to end');
      said = true;
    }
    await sleep(200);
  }
  const release = () => rmSync(path, { force: true });
  process.once('exit', release);
  try {
    return await body();
  } finally {
    process.off('exit', release);
    release();
  }
}

function take() {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') {
      throw error;
    }
  }
  try {
    process.kill(Number(readFileSync(path, 'utf8')) || process.pid, 0);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ESRCH') {
      rmSync(path, { force: true }); // left by one that was killed
    }
  }
  return false;
}
