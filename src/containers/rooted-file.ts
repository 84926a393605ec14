// Reads small files of a root file system, whose symlinks lead where they would lead inside it: an image may well
// have /etc/passwd point at the host's.

import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readlink } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';

/** The kernel's own bound (path_resolution(7)). */
const maxSymlinks = 40;
const maxBytes = 8 * 1024 * 1024;

/** The text of `file` below `root`, which nobody else changes meanwhile; undefined where there is no regular file. */
export async function readRootedFile(root: string, file: string): Promise<string | undefined> {
  const resolved = await resolveInside(root, file);
  if (resolved === undefined) {
    return undefined;
  }
  let handle: FileHandle | undefined;
  try {
    // A fifo would never open, a device could do anything.
    handle = await open(resolved, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { size } = await handle.stat();
    if (size > maxBytes) {
      throw new UnpackError('ERR_LIMIT_EXCEEDED', `${file} of the image: has ${size} bytes`);
    }
    return await handle.readFile('utf8');
  } catch (error) {
    throw UnpackError.fromSystem(error, resolved);
  } finally {
    await handle?.close();
  }
}

async function resolveInside(root: string, file: string): Promise<string | undefined> {
  const pending = file.split('/').reverse();
  const walked: string[] = [];
  let links = 0;
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '' || name === '.') {
      continue;
    }
    if (name === '..') {
      walked.pop(); // the root's is the root
      continue;
    }
    const next = path.join(root, ...walked, name);
    const found = await lstat(next).catch(() => undefined);
    if (found === undefined) {
      return undefined;
    }
    if (found.isSymbolicLink()) {
      if (++links > maxSymlinks) {
        return undefined;
      }
      const target = await readlink(next);
      if (target.startsWith('/')) {
        walked.length = 0;
      }
      pending.push(...target.split('/').reverse());
    } else if (found.isDirectory()) {
      walked.push(name);
    } else {
      return found.isFile() && pending.every((rest) => rest === '') ? next : undefined;
    }
  }
  return undefined;
}
