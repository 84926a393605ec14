// Ingests: blobs that are being written, or were when their writer ended. Each has a directory; an flock in it says
// whether somebody writes now, so that a killed owner does not keep it.

import { rmdirSync, type Stats, statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { checkName, type Time } from '../metadata/index.js';
import { type FileLock, makeDirectory, tryLockFile } from '../native/index.js';
import { ingestDirectory, ingestFiles, ingestName, removeFile, removeSmallFile } from './layout.js';

/** What is known of an ingest. */
export interface IngestStatus {
  ref: string;
  /** Bytes that are there already. */
  offset: number;
  /** Bytes that it will have, where that is known. */
  total?: number | undefined;
  /** Digest that it will have, where that is known. */
  expected?: string | undefined;
  startedAt: Time;
  updatedAt: Time;
}

/** All ingests, by ref. Those that vanish meanwhile, or were never begun in earnest, are not among them. */
export async function listIngests(root: string): Promise<IngestStatus[]> {
  const statuses: IngestStatus[] = [];
  for (const name of await ingestNames(root)) {
    const status = await readStatus(path.join(root, ingestName, name));
    if (status !== undefined) {
      statuses.push(status);
    }
  }
  return statuses.sort((a, b) => (a.ref < b.ref ? -1 : 1));
}

/** The ingest of a ref. */
export async function ingestStatus(root: string, ref: string): Promise<IngestStatus | undefined> {
  const status = await readStatus(ingestDirectory(root, checkName('ref', ref)));
  return status?.ref === ref ? status : undefined;
}

/**
 * Removes an ingest; whether there was one.
 *
 * @throws UnpackError `ERR_STORE_BUSY` while somebody writes it
 */
export async function abortIngest(root: string, ref: string): Promise<boolean> {
  const directory = ingestDirectory(root, checkName('ref', ref));
  if ((await readStatus(directory)) === undefined) {
    return false;
  }
  const lock = await lockIngest(directory, ref);
  await removeIngest(directory, lock);
  return true;
}

/**
 * Removes the ingests that nobody writes, whose data is older than `age` milliseconds, and that `isHeld` does not
 * want; their refs.
 */
export async function sweepIngests(
  root: string,
  age: number,
  isHeld: (ref: string) => boolean,
): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await ingestNames(root)) {
    const directory = path.join(root, ingestName, name);
    const status = await readStatus(directory);
    if (status !== undefined && (Date.now() - status.updatedAt < age || isHeld(status.ref))) {
      continue;
    }
    const lock = await tryLockFile(path.join(directory, 'lock'), () => makeIngest(directory));
    if (lock !== undefined) {
      await removeIngest(directory, lock);
      if (status !== undefined) {
        removed.push(status.ref);
      }
    }
  }
  return removed;
}

/** @throws UnpackError `ERR_STORE_BUSY` */
export async function lockIngest(directory: string, ref: string): Promise<FileLock> {
  const lock = await tryLockFile(path.join(directory, 'lock'), () => makeIngest(directory));
  if (lock === undefined) {
    throw new UnpackError('ERR_STORE_BUSY', `ref ${ref}: is being written by somebody else`);
  }
  return lock;
}

/** Removes the directory of an ingest whose lock is held, and lets go of it. */
export async function removeIngest(directory: string, lock: FileLock): Promise<void> {
  try {
    const [data, ...small] = ingestFiles;
    await removeFile(path.join(directory, data));
    // The lock is the last: who finds none may begin anew here, and then nothing of theirs must be removed.
    for (const name of small) {
      removeSmallFile(path.join(directory, name));
    }
    try {
      rmdirSync(directory);
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (!['ENOTEMPTY', 'ENOENT', 'EEXIST'].includes(code)) {
        throw UnpackError.fromSystem(error, directory);
      }
    }
  } finally {
    await lock.release();
  }
}

async function makeIngest(directory: string): Promise<void> {
  try {
    await makeDirectory(directory, 0o700);
  } catch (error) {
    throw UnpackError.fromSystem(error, directory);
  }
}

async function ingestNames(root: string): Promise<string[]> {
  const directory = path.join(root, ingestName);
  try {
    return (await readdir(directory)).filter((name) => /^[0-9a-f]{64}$/.test(name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return [];
    }
    throw UnpackError.fromSystem(error, directory);
  }
}

async function readStatus(directory: string): Promise<IngestStatus | undefined> {
  const data = statOf(path.join(directory, 'data'));
  if (data === undefined) {
    return undefined;
  }
  const [ref, total, expected, startedAt] = await Promise.all(
    ['ref', 'total', 'expected', 'startedat'].map((name) => readText(path.join(directory, name))),
  );
  if (ref === undefined || ref === '') {
    return undefined;
  }
  const started = Date.parse(startedAt ?? '');
  return {
    ref,
    offset: data.size,
    total: total !== undefined && /^[0-9]+$/.test(total) ? Number(total) : undefined,
    expected: expected === '' ? undefined : expected,
    startedAt: Number.isNaN(started) ? data.mtimeMs : started,
    updatedAt: Math.round(data.mtimeMs),
  };
}

/** At once: a pull asks for each of its layers, and hardly ever is there one. */
function statOf(file: string): Stats | undefined {
  try {
    return statSync(file, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

async function readText(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch(() => undefined);
}
