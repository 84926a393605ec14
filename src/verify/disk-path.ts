// From a path as it is told to the file on the disk that it names.

import type { BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';

/** A file that is there: its path, as bytes where it is not UTF-8. */
export interface FoundFile {
  path: string | Buffer;
  stats: BigIntStats;
}

/** What lies at `told`, a path of a finding, below `directory`; undefined for nothing. Follows no symlink at the end. */
export async function findFile(directory: string, told: string): Promise<FoundFile | undefined> {
  for (const candidate of candidates(told)) {
    const path =
      typeof candidate === 'string'
        ? `${directory}/${candidate}`
        : Buffer.concat([Buffer.from(`${directory}/`), candidate]);
    try {
      return { path, stats: await lstat(path, { bigint: true }) };
    } catch {
      // Not there, or not readable: the next, or none.
    }
  }
  return undefined;
}

/** A path with `\xNN` in it may be one that is not UTF-8, or be written so itself. */
function candidates(told: string): (string | Buffer)[] {
  if (!/\\x[0-9a-f]{2}/.test(told)) {
    return [told];
  }
  const pieces: Buffer[] = [];
  for (const [piece] of told.matchAll(/\\\\|\\x[0-9a-f]{2}|[^\\]+|\\/g)) {
    if (piece === '\\\\') {
      pieces.push(Buffer.from('\\'));
    } else if (piece.startsWith('\\x')) {
      pieces.push(Buffer.from(piece.slice(2), 'hex'));
    } else {
      pieces.push(Buffer.from(piece));
    }
  }
  return [told, Buffer.concat(pieces)];
}

/** The bytes that a path as it is told most likely stands for, where nothing lies there to tell. */
export function decodeTold(told: string): Buffer {
  return Buffer.from(candidates(told).at(-1) as string);
}

/** The directory that `path` lies in; undefined for the root. */
export function parentOf(path: string): string | undefined {
  return path === '' ? undefined : path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** Whether one of the directories above `path` is in `paths`; the nearest such. */
export function nearestAbove(
  path: string,
  paths: ReadonlyMap<string, unknown> | ReadonlySet<string>,
): string | undefined {
  for (let at = parentOf(path); at !== undefined; at = parentOf(at)) {
    if (paths.has(at)) {
      return at;
    }
  }
  return undefined;
}
