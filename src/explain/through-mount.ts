// Unpacking as containerd 1.2 did: each layer is applied to a mount of the layers below it, by calls as for any directory,
// and the kernel is left to write to the upper directory what overlayfs needs.

import { chmod, lstat, mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { loadBinding } from '../native/index.js';
import type { ExplainedLayer } from './image.js';
import { withOverlay } from './mounts.js';
import { entrySeconds, modeOf, type TarEntry } from './tar.js';

/** Options of {@link unpackThroughMount}. */
export interface ThroughMountOptions {
  /** The xattr that marks an opaque directory here. */
  opaque: string;
  userxattr: boolean;
  /** Do what the kernels before 4.8 did: copy the mark of a lower directory up with it. */
  emulateBug: boolean;
  signal?: AbortSignal | undefined;
}

/** Unpacks `layers`, bottom first, below `directory`; returns the directory of each. */
export async function unpackThroughMount(
  layers: readonly ExplainedLayer[],
  directory: string,
  options: ThroughMountOptions,
): Promise<string[]> {
  const done: string[] = [];
  for (const [number, { entries }] of layers.entries()) {
    options.signal?.throwIfAborted();
    const snapshot = path.join(directory, String(number + 1));
    const upper = path.join(snapshot, 'fs');
    const work = path.join(snapshot, 'work');
    await mkdir(upper, { recursive: true });
    await mkdir(work);
    if (done.length === 0) {
      await applyAll(entries, upper); // the lowest layer is no overlay: a bind mount of its directory
    } else {
      const lowers = done.toReversed();
      const { userxattr } = options;
      const target = path.join(directory, 'mount');
      await withOverlay({ lowers, upper, work, userxattr }, target, () =>
        applyAll(entries, target),
      );
      if (options.emulateBug) {
        await copyMarksUp(entries, upper, lowers, options.opaque);
      }
    }
    done.push(upper);
  }
  return done;
}

/** By the calls of containerd's archive/tar.go, which do not know that there is an overlay. */
async function applyAll(entries: readonly TarEntry[], root: string): Promise<void> {
  for (const entry of entries) {
    const target = path.join(root, entry.path);
    const name = path.basename(target);
    if (name.startsWith('.wh.')) {
      await rm(path.join(path.dirname(target), name.slice('.wh.'.length)), { recursive: true });
      continue;
    }
    if (entry.type === 'file') {
      await writeFile(target, entry.content ?? '');
    } else if (!(await isDirectory(target))) {
      await mkdir(target);
    }
    await chmod(target, modeOf(entry));
  }
  for (const { path: name } of entries.toReversed()) {
    if (!path.basename(name).startsWith('.wh.')) {
      await utimes(path.join(root, name), entrySeconds, entrySeconds);
    }
  }
}

/**
 * The bug. When a directory of the lower layers was made in upper, for something in it that is new or changed, all of its
 * xattrs were copied, the one that marks it as opaque too.
 */
async function copyMarksUp(
  entries: readonly TarEntry[],
  upper: string,
  lowers: readonly string[],
  opaque: string,
): Promise<void> {
  const removed = entries
    .filter(({ path: name }) => path.basename(name).startsWith('.wh.'))
    .map(({ path: name }) => name.replace(/\.wh\.([^/]+)$/, '$1'));
  for (const { type, path: name } of entries) {
    if (type !== 'directory' || removed.includes(name)) {
      continue;
    }
    for (const lower of lowers) {
      const original = path.join(lower, name);
      if (await isDirectory(original)) {
        const mark = loadBinding().readXattr({ path: original, name: opaque });
        if (mark !== null) {
          const copy = { path: path.join(upper, name), name: opaque, value: mark.toString() };
          loadBinding().writeXattr(copy);
        }
        break; // the topmost one that has it is the one that is copied
      }
    }
  }
}

async function isDirectory(file: string): Promise<boolean> {
  return lstat(file).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
