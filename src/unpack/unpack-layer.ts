// unpackLayer: one blob into one directory, outside any image.

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { rollBack } from '../clean-up.js';
import { UnpackError } from '../errors.js';
import { givenPath } from '../given-path.js';
import {
  type LayerJob,
  type LayerTree,
  loadBinding,
  makeDirectory,
  removeTree,
} from '../native/index.js';
import { chainID } from '../oci/index.js';
import { abortError, jobOptions, layerReport, throwIfAborted, withSignal } from './layer-run.js';
import { feedJob, type LayerSource, openLayerSource } from './layer-source.js';
import { moveDirectory } from './move-directory.js';
import { type CommonOptions, resolveOptions } from './options.js';
import { ProgressSampler } from './progress.js';
import type { LayerReport } from './report.js';
import { Spool } from './spool.js';
import { watched } from './watched.js';

/** A layer below, unpacked earlier with an {@link UnpackLayerOptions.index}. */
export interface ParentLayer {
  /** Where it was unpacked. */
  directory: string;
  /** Its index file. */
  index: string;
  /** Its diffID; given for every parent, the report has a chainID. */
  diffID?: string;
}

/** Options of {@link unpackLayer}. */
export interface UnpackLayerOptions extends CommonOptions {
  /** Digest of the blob; checked when given. */
  digest?: string;
  /** Bytes of the blob; checked when given. */
  size?: number;
  /** Digest of the uncompressed tar; checked when given. */
  diffID?: string;
  /** Only for the report. */
  mediaType?: string;
  /**
   * The layers below, bottom first: the layer is settled with them (implicit parents, whiteouts, links into lower
   * layers). Not with format `flat`, where what is in the directory is the layer below.
   */
  parents?: ParentLayer[];
  /** A file to write the tree index to, which makes this layer a {@link ParentLayer} for the next. */
  index?: string;
}

/**
 * Unpacks one layer into `directory`.
 *
 * The directory must be missing or empty; with format `flat` it may hold a tree, onto which the layer
 * is applied, whiteouts executed. The layer is made in a staging directory and renamed into
 * place when all of it, digests included, has been checked: on failure there is nothing of it. Two
 * cases cannot be atomic: a directory that is a mount point (or whose parent is not writable) is filled in place and
 * emptied on failure, and `flat` onto an existing tree ends with a merge that does not roll back.
 *
 * @throws UnpackError
 */
export async function unpackLayer(
  source: LayerSource,
  directory: string,
  options: UnpackLayerOptions = {},
): Promise<LayerReport> {
  return watched(options, (given) => unpackWatched(source, directory, given));
}

async function unpackWatched(
  source: LayerSource,
  directory: string,
  options: UnpackLayerOptions,
): Promise<LayerReport> {
  const resolved = resolveOptions(options);
  const { signal, parents = [] } = options;
  if (resolved.format === 'flat' && parents.length > 0) {
    throw new UnpackError(
      'ERR_INVALID_ARGUMENT',
      "parents: are not for format 'flat', where the directory itself is what lies below",
    );
  }
  throwIfAborted(signal);
  const opened = openLayerSource(source);
  const label = options.digest ?? opened.name;
  const binding = loadBinding();
  const target = await openTarget(givenPath('directory', directory), resolved.format === 'flat');
  const trees: LayerTree[] = [];
  let job: LayerJob | undefined;
  let failed = true;
  try {
    if (target.occupied) {
      trees.push(await binding.scanTree(target.directory));
    } else {
      loadParents(parents, trees);
    }
    const below = trees.at(-1) ?? null;
    throwIfAborted(signal);
    await target.prepare();
    // Under every policy: the targets of hardlinks lead through the lower layers' symlinks.
    const spool =
      'chunks' in opened && below !== null ? await Spool.create(target.spool) : undefined;
    const started = binding.startLayer({
      ...jobOptions(resolved),
      source: 'chunks' in opened ? { stream: true, replay: spool?.window } : opened.native,
      directory: target.staging,
      hasLower: below !== null,
      label,
      group: binding.createGroup(resolved.concurrency),
      digest: options.digest,
      size: options.size,
      diffID: options.diffID,
    });
    job = started;
    const sampler = new ProgressSampler(options.onProgress);
    const tracked = sampler.add(label, options.size ?? 0, 'unpacking');
    tracked.sample = () => started.progress();
    sampler.start();
    const report = await withSignal(
      signal,
      () => started.cancel(),
      async () => {
        const feeding = 'chunks' in opened ? feedJob(started, opened.chunks, spool) : undefined;
        const result = await started.done.catch(async (error: unknown) => {
          const sourceError = await feeding;
          throw sourceError === undefined || sourceError instanceof UnpackError
            ? (sourceError ?? error)
            : new UnpackError('ERR_IO', `${opened.name}: the source failed`, {
                layer: label,
                cause: sourceError,
              });
        });
        tracked.phase = 'settling';
        const settled = await started.settle(below, {
          indexPath: options.index && path.resolve(options.index),
          flatRoot: target.flatRoot,
        });
        trees.push(settled.tree);
        tracked.phase = 'done';
        const { mediaType = '' } = options;
        const diffIDs = [...parents.map((parent) => parent.diffID), result.diffID];
        const known = diffIDs.filter((diffID) => diffID !== undefined);
        const chain = known.length === diffIDs.length ? chainID(known) : '';
        return layerReport({ mediaType, chainID: chain, path: directory }, settled);
      },
    ).finally(async () => {
      sampler.stop();
      await spool?.close();
    });
    await target.commit();
    failed = false;
    return report;
  } catch (error) {
    if (signal?.aborted) {
      throw abortError(signal);
    }
    throw UnpackError.from(error, label);
  } finally {
    // Their descriptors would keep the file system busy until they are collected.
    job?.close();
    trees.forEach(binding.closeTree);
    const closing = () => target.close(failed);
    await (failed ? rollBack(closing) : closing());
  }
}

/** Loads the parents' trees, each on top of the one before, into `trees`. */
function loadParents(parents: ParentLayer[], trees: LayerTree[]): void {
  const { loadTree } = loadBinding();
  for (const { index, directory } of parents) {
    trees.push(loadTree(path.resolve(index), path.resolve(directory), trees.at(-1) ?? null));
  }
}

/** The directory a layer goes to, and the private one it is made in. */
interface Target {
  directory: string;
  /** It holds a tree that the layer is merged into. */
  occupied: boolean;
  /** Where the job writes. */
  staging: string;
  /** Where settle merges to, with format `flat`. */
  flatRoot: string | undefined;
  /** A file for the bytes of a stream, beside the staging directory. */
  spool: string;
  prepare(): Promise<void>;
  commit(): Promise<void>;
  close(failed: boolean): Promise<void>;
}

async function openTarget(given: string, flat: boolean): Promise<Target> {
  const names = await listDirectory(given);
  // Of a symlink the directory that it leads to is replaced, not the link.
  const directory = names === undefined ? given : await realpath(given);
  const occupied = (names?.length ?? 0) > 0;
  if (occupied && !flat) {
    throw new UnpackError('ERR_DESTINATION_NOT_EMPTY', `${directory}: is not empty`, {
      path: directory,
    });
  }
  const parent = path.dirname(directory);
  const inPlace = names !== undefined && !(await canReplace(directory));
  // Beside the directory, for the rename; inside, where that is the only place on the same file system.
  const temporary = path.join(
    inPlace ? directory : parent,
    `.${inPlace ? '' : path.basename(directory)}.oci-unpack-${randomBytes(6).toString('hex')}`,
  );
  const staging = inPlace && !flat ? directory : path.join(temporary, 'layer');
  // Never inside the layer itself, whose root would get another mtime.
  const spoolDirectory =
    staging === directory ? path.join(tmpdir(), path.basename(temporary)) : temporary;
  let flatRoot: string | undefined;
  if (flat) {
    flatRoot = occupied || inPlace ? directory : path.join(temporary, 'root');
  }
  const finished = flatRoot ?? staging;
  return {
    directory,
    occupied,
    staging,
    flatRoot,
    spool: path.join(spoolDirectory, 'blob'),
    prepare: async () => {
      for (const made of [staging, flatRoot]) {
        if (made !== undefined && made !== directory) {
          await makeDirectory(made);
        }
      }
    },
    commit: async () => {
      if (finished !== directory) {
        await moveDirectory(finished, directory);
      }
    },
    close: async (failed) => {
      await removeTree(spoolDirectory);
      if (staging !== directory) {
        await removeTree(temporary);
      }
      if (failed && finished === directory && !occupied) {
        for (const name of await readdir(directory)) {
          await removeTree(path.join(directory, name));
        }
      }
    },
  };
}

/** Undefined where there is no such directory. */
async function listDirectory(directory: string): Promise<string[] | undefined> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return undefined;
    }
    throw UnpackError.fromSystem(error, directory);
  }
}

/** Whether another directory can be renamed over this one: not a mount point, in a parent that is ours to change. */
async function canReplace(directory: string): Promise<boolean> {
  const parent = path.dirname(directory);
  const [own, above] = await Promise.all([stat(directory), stat(parent)]);
  if (own.dev !== above.dev || directory === parent) {
    return false;
  }
  const writable = await access(parent, constants.W_OK).then(
    () => true,
    () => false,
  );
  // A bind mount of the same file system shows only here (proc_pid_mountinfo(5); a space is \\040).
  const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  const escaped = directory.replace(
    /[ \t\n\\]/g,
    (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
  return writable && !mounts.split('\n').some((line) => line.split(' ')[4] === escaped);
}
