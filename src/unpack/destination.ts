// DEST of an image: what an earlier call left there, the staging directory on the same file system, and
// the commits, each one rename, so that a layer is there whole or not at all.

import {
  access,
  lstat,
  readdir,
  readFile,
  rename,
  rmdir,
  unlink,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { givenPath } from '../given-path.js';
import { type FileLock, makeDirectory, removeTree } from '../native/index.js';
import { lockDestination } from './destination-lock.js';
import { flatRootName, layerName, parseImageJson, treeIndexName } from './image-json.js';
import { moveDirectory } from './move-directory.js';
import type { Format, Policies } from './options.js';
import type { ImageJson, LayerReport } from './report.js';

/** What makes two unpacks the same: only then is one completed by the other. */
export interface DestinationIdentity {
  manifestDigest: string;
  format: Format;
  policies: Policies;
}

/** A layer as the manifest has it. */
export interface ExpectedLayer {
  digest: string;
  diffID: string;
  chainID: string;
}

interface State extends DestinationIdentity {
  version: 1;
}

const ownName = '.oci-unpack';

export class Destination {
  /** Absolute path. */
  readonly directory: string;
  /** An earlier call on this destination was interrupted, or had finished. */
  readonly resumed: boolean;
  readonly #created: boolean;
  readonly #lock: FileLock;

  private constructor(directory: string, resumed: boolean, created: boolean, lock: FileLock) {
    this.directory = directory;
    this.resumed = resumed;
    this.#created = created;
    this.#lock = lock;
  }

  /**
   * Locks `directory` for this call, made where missing (mode 0700: the set-user-ID programs of an image are not
   * for every user of the host). `ERR_DESTINATION_NOT_EMPTY` unless it is empty or holds an unpack of the same
   * identity; `ERR_DESTINATION_BUSY`.
   */
  static async open(directory: string, identity: DestinationIdentity): Promise<Destination> {
    const absolute = givenPath('destination', directory);
    const own = path.join(absolute, ownName);
    let created = false;
    try {
      created = (await makeDirectory(absolute, 0o700)) !== undefined;
      const names = await readdir(absolute);
      if (names.length > 0 && !names.includes(ownName)) {
        throw notEmpty(absolute, 'it holds files that are not of an unpack');
      }
      // Never a symlink: what is removed and written there would be somebody else's.
      for (const name of names.filter((one) => [ownName, 'layers'].includes(one))) {
        if (!(await isDirectory(path.join(absolute, name)))) {
          throw notEmpty(absolute, `${name} is not a directory`);
        }
      }
      const lock = await lockDestination(path.join(own, 'lock'), async () => {
        await makeDirectory(own, 0o700);
      });
      try {
        const resumed = await checkState(absolute, identity);
        const destination = new Destination(absolute, resumed, created, lock);
        await destination.removeStaging();
        return destination;
      } catch (error) {
        await lock.release();
        throw error;
      }
    } catch (error) {
      throw UnpackError.fromSystem(error, absolute);
    }
  }

  /** The report of layer `index` when it is committed, else undefined. */
  async committedLayer(index: number, expected: ExpectedLayer): Promise<LayerReport | undefined> {
    const directory = path.join(this.directory, 'layers', layerName(index));
    const text = await readFile(path.join(directory, 'layer.json'), 'utf8').catch(() => '');
    const report = parseLayerReport(text);
    const same =
      report?.digest === expected.digest &&
      report.diffID === expected.diffID &&
      report.chainID === expected.chainID;
    const whole =
      same &&
      (await isDirectory(path.join(directory, 'fs'))) &&
      (await access(path.join(directory, treeIndexName)).then(
        () => true,
        () => false,
      ));
    return whole ? report : undefined;
  }

  /** Takes a layer, or what is left of one, away. */
  async dropLayer(index: number): Promise<void> {
    const name = layerName(index);
    const layer = this.#path('layers', name);
    if (await isDirectory(layer)) {
      const dropped = await this.stagingDirectory('dropped');
      await rename(layer, path.join(dropped, name)); // at once, and removed with the staging area
    }
  }

  /** The finished image, or undefined. */
  async finishedImage(): Promise<ImageJson | undefined> {
    for (const file of [this.#path('image.json'), this.#path(ownName, 'image.json')]) {
      const image = parseImageJson(await readFile(file, 'utf8').catch(() => ''));
      if (image !== undefined) {
        return image;
      }
    }
    return undefined;
  }

  /** The committed tree of format `flat` is there. */
  hasFlatRoot(): Promise<boolean> {
    return isDirectory(this.#path(flatRootName));
  }

  /** Makes an empty directory in the staging area. */
  async stagingDirectory(...names: string[]): Promise<string> {
    const directory = this.#path(ownName, 'staging', ...names);
    await makeDirectory(directory);
    return directory;
  }

  /** Commits the staged directory of a layer, which holds `fs` and `tree.idx`, with its report. */
  async commitLayer(index: number, report: LayerReport): Promise<void> {
    const name = layerName(index);
    const staged = this.#path(ownName, 'staging', name);
    await writeFile(path.join(staged, 'layer.json'), `${JSON.stringify(report)}\n`);
    await makeDirectory(this.#path('layers'));
    await rename(staged, this.#path('layers', name));
  }

  /** Commits the staged tree of format `flat`, with its image.json. */
  async commitFlat(staged: string, image: ImageJson): Promise<void> {
    // The report first, where only we look: a root without a report could not be told from foreign files.
    await this.#writeJson(path.join(ownName, 'image.json'), image, false);
    await moveDirectory(staged, this.#path(flatRootName));
  }

  /** Writes image.json, the last step of an unpack; it is never there in part. */
  async writeImageJson(image: ImageJson): Promise<void> {
    await this.#writeJson('image.json', image, true);
    await unlink(this.#path(ownName, 'image.json')).catch(() => undefined);
  }

  /** Removes all that is staged. */
  async removeStaging(): Promise<void> {
    const staging = this.#path(ownName, 'staging');
    await removeTree(staging);
  }

  /** Unlocks. */
  async close(): Promise<void> {
    await this.#lock.release();
  }

  /** Cleans up after a failure and unlocks: what is committed stays, and where nothing is, nothing stays. */
  async abandon(): Promise<void> {
    try {
      await this.removeStaging();
      await rmdir(this.#path('layers')).catch(() => undefined);
      const names = await readdir(this.directory);
      if (names.length === 1 && names[0] === ownName) {
        await unlink(this.#path(ownName, 'state.json')).catch(() => undefined);
        await unlink(this.#path(ownName, 'image.json')).catch(() => undefined);
        await unlink(this.#path(ownName, 'lock'));
        await rmdir(this.#path(ownName));
        if (this.#created) {
          await rmdir(this.directory);
        }
      }
    } finally {
      await this.close();
    }
  }

  #path(...names: string[]): string {
    return path.join(this.directory, ...names);
  }

  async #writeJson(name: string, value: unknown, pretty: boolean): Promise<void> {
    const temporary = this.#path(ownName, 'json.tmp');
    await writeFile(temporary, `${JSON.stringify(value, null, pretty ? 2 : 0)}\n`);
    await rename(temporary, this.#path(name));
  }
}

/** Compares the state file with `identity`, or writes it into an empty destination. True when there was one. */
async function checkState(directory: string, identity: DestinationIdentity): Promise<boolean> {
  const file = path.join(directory, ownName, 'state.json');
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') {
      return undefined;
    }
    throw error;
  });
  const wanted: State = { version: 1, ...identity };
  if (text !== undefined) {
    const difference = stateDifference(text, wanted);
    if (difference === undefined) {
      return true;
    }
    if (!(await isUnfinished(directory, text, wanted))) {
      throw notEmpty(directory, difference);
    }
    await startOver(directory);
  }
  const others = (await readdir(directory)).filter((name) => name !== ownName);
  if (others.length > 0) {
    throw notEmpty(directory, 'it holds files that are not of an unpack');
  }
  const temporary = `${file}.tmp`;
  await writeFile(temporary, `${JSON.stringify(wanted)}\n`);
  await rename(temporary, file);
  return false;
}

/** Whether an interrupted unpack of the same image is all that is there: what was chosen for it may change. */
async function isUnfinished(directory: string, text: string, wanted: State): Promise<boolean> {
  const found = parseState(text);
  const names = await readdir(directory);
  return (
    found?.version === wanted.version &&
    found.manifestDigest === wanted.manifestDigest &&
    names.every((name) => name === ownName || name === 'layers')
  );
}

/** Takes all layers away at once: with the new state in place, none may be there that was made for the old one. */
async function startOver(directory: string): Promise<void> {
  const own = path.join(directory, ownName);
  await removeTree(path.join(own, 'staging'));
  await makeDirectory(path.join(own, 'staging'));
  await rename(path.join(directory, 'layers'), path.join(own, 'staging/replaced')).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') {
        throw error;
      }
    },
  );
  await unlink(path.join(own, 'image.json')).catch(() => undefined);
  await unlink(path.join(own, 'state.json'));
}

function parseState(text: string): State | undefined {
  try {
    return JSON.parse(text) as State;
  } catch {
    return undefined;
  }
}

function stateDifference(text: string, wanted: State): string | undefined {
  const found = parseState(text);
  if (found === undefined) {
    return 'its state file cannot be read';
  }
  if (found?.version !== wanted.version) {
    return 'it was written by another version of oci-unpack';
  }
  if (found.manifestDigest !== wanted.manifestDigest) {
    return `it holds an unpack of another image, manifest ${found.manifestDigest}`;
  }
  if (found.format !== wanted.format) {
    return `it holds this image in format ${found.format}`;
  }
  if (JSON.stringify(found.policies) !== JSON.stringify(wanted.policies)) {
    return 'it holds this image unpacked with other policies';
  }
  return undefined;
}

function parseLayerReport(text: string): LayerReport | undefined {
  try {
    return JSON.parse(text) as LayerReport;
  } catch {
    return undefined;
  }
}

async function isDirectory(file: string): Promise<boolean> {
  return lstat(file).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

function notEmpty(directory: string, why: string): UnpackError {
  return new UnpackError('ERR_DESTINATION_NOT_EMPTY', `${directory}: is not empty: ${why}`, {
    path: directory,
  });
}
