// DEST of an image: what an earlier call left there, the staging directory on the same file system, and
// the commits, each one rename, so that a layer is there whole or not at all.

import {
  access,
  type FileHandle,
  lstat,
  open,
  readdir,
  readFile,
  rename,
  rmdir,
  unlink,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { cleanUp } from '../clean-up.js';
import { UnpackError } from '../errors.js';
import { givenPath } from '../given-path.js';
import { type FileLock, loadBinding, makeDirectory, removeTree } from '../native/index.js';
import { liveMounts, mountedError } from '../snapshots/live-mounts.js';
import { lockDestination } from './destination-lock.js';
import {
  type DestinationIdentity,
  examineState,
  type Found,
  notEmpty,
  ownName,
  writeDurableState,
  writeState,
} from './destination-state.js';
import { flatRootName, layerName, parseImageJson, treeIndexName } from './image-json.js';
import { moveDirectory } from './move-directory.js';
import type { ImageJson, LayerReport } from './report.js';

/** A layer as the manifest has it. */
export interface ExpectedLayer {
  digest: string;
  diffID: string;
  chainID: string;
}

export class Destination {
  /** Absolute path. */
  readonly directory: string;
  readonly #identity: DestinationIdentity;
  readonly #found: Found;
  readonly #created: boolean;
  readonly #lock: FileLock;
  /** DEST, from before anything is written on: syncfs(2) reports the failed writes since it was opened. */
  #handle: FileHandle | undefined;

  private constructor(
    directory: string,
    identity: DestinationIdentity,
    found: Found,
    created: boolean,
    lock: FileLock,
  ) {
    this.directory = directory;
    this.#identity = identity;
    this.#found = found;
    this.#created = created;
    this.#lock = lock;
  }

  /** An earlier call on this destination was interrupted, or had finished, and what it left is to be used. */
  get resumed(): boolean {
    return this.#found === 'same';
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
      created = (await makeDirectory(absolute, 0o700)).length > 0;
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
        const found = await examineState(absolute, identity);
        const destination = new Destination(absolute, identity, found, created, lock);
        await destination.removeStaging();
        if (found === 'other') {
          await destination.#takeAway();
        }
        if (found !== 'same' && found !== 'lost') {
          await writeState(absolute, identity);
        }
        return destination;
      } catch (error) {
        await lock.release();
        throw error;
      }
    } catch (error) {
      throw UnpackError.fromSystem(error, absolute);
    }
  }

  /**
   * Before anything is written, and when it is known that everything can be made: takes away what is not to be trusted.
   *
   * @throws UnpackError `ERR_SNAPSHOT_MOUNTED`
   */
  async begin(): Promise<void> {
    this.#handle ??= await open(this.directory, 'r');
    if (this.#found === 'lost') {
      const places = ['layers', flatRootName].map((name) => this.#path(name));
      for (const [place, uses] of await liveMounts(places)) {
        throw mountedError(place, uses);
      }
      await this.#takeAway();
    }
    if (this.#found === 'lost' || this.#found === 'same') {
      await writeState(this.directory, this.#identity); // of what may have been on the disk, no more than the rest is now
    }
  }

  /** Waits until all is on the disk, and notes it. */
  async makeDurable(): Promise<void> {
    this.#handle ??= await open(this.directory, 'r');
    await loadBinding().syncFileSystem(this.#handle.fd);
    await writeDurableState(this.directory, this.#identity);
  }

  /** The report of layer `index` when it is committed, else undefined. */
  async committedLayer(index: number, expected: ExpectedLayer): Promise<LayerReport | undefined> {
    if (!this.resumed) {
      return undefined;
    }
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

  /** Takes a layer, or what is left of one, away; what is lost goes at once with {@link begin}. */
  async dropLayer(index: number): Promise<void> {
    if (this.#found === 'lost') {
      return;
    }
    const name = layerName(index);
    const layer = this.#path('layers', name);
    if (await isDirectory(layer)) {
      const dropped = await this.stagingDirectory('dropped');
      await rename(layer, path.join(dropped, name)); // at once, and removed with the staging area
    }
  }

  /** The finished image, or undefined. */
  async finishedImage(): Promise<ImageJson | undefined> {
    if (!this.resumed) {
      return undefined;
    }
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
    await this.#writeJson(path.join(ownName, 'image.json'), image, 0);
    await moveDirectory(staged, this.#path(flatRootName));
  }

  /** Writes image.json, the last step of an unpack; it is never there in part. */
  async writeImageJson(image: ImageJson): Promise<void> {
    const there = await readFile(this.#path('image.json'), 'utf8').catch(() => '');
    // One that is on the disk already stays so.
    if (there !== jsonText(image, 2)) {
      await this.#writeJson('image.json', image, 2);
    }
    await unlink(this.#path(ownName, 'image.json')).catch(() => undefined);
  }

  /** Removes all that is staged. */
  async removeStaging(): Promise<void> {
    const staging = this.#path(ownName, 'staging');
    await removeTree(staging);
  }

  /** Unlocks. */
  async close(): Promise<void> {
    await cleanUp(
      () => this.#handle?.close(),
      () => this.#lock.release(),
    );
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

  /** Takes all layers away, at once: with a new state in place, none may be there that was made for the old one. */
  async #takeAway(): Promise<void> {
    const replaced = await this.stagingDirectory('replaced');
    for (const file of [this.#path('image.json'), this.#path(ownName, 'image.json')]) {
      await unlink(file).catch(ignoreMissing);
    }
    for (const name of ['layers', flatRootName]) {
      await moveDirectory(this.#path(name), path.join(replaced, name)).catch(ignoreMissing);
    }
    await removeTree(replaced);
  }

  async #writeJson(name: string, value: unknown, indent: number): Promise<void> {
    const temporary = this.#path(ownName, 'json.tmp');
    await writeFile(temporary, jsonText(value, indent));
    await rename(temporary, this.#path(name));
  }
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

function jsonText(value: unknown, indent: number): string {
  return `${JSON.stringify(value, null, indent)}\n`;
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') {
    throw error;
  }
}
