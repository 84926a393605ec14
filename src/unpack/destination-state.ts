// DEST/.oci-unpack/state.json: what was asked for, and whether the files that are there are to be trusted. They are written
// without a sync, so that a power loss may leave a layer that looks committed and has empty files.

import { open, readdir, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { instanceOf } from '../snapshots/instance.js';
import { syncDirectory } from '../sync-directory.js';
import { flatRootName, parseImageJson } from './image-json.js';
import type { Format, Policies } from './options.js';

/** Directory in DEST of all that is not for the user. */
export const ownName = '.oci-unpack';

/** What makes two unpacks the same: only then is one completed by the other. */
export interface DestinationIdentity {
  manifestDigest: string;
  format: Format;
  policies: Policies;
}

interface State extends DestinationIdentity {
  version: 1;
  /** What the files are trusted in: the {@link instanceOf} DEST that they were written in, or {@link anyBoot}. */
  trustedIn: string;
}

/** The files are on the disk. */
const anyBoot = 'any boot';

/** What an earlier call has left, as far as its state tells. */
export type Found =
  /** Nothing. */
  | 'nothing'
  /** An unpack of the same identity, to be trusted. */
  | 'same'
  /** The same, but what of it has come to the disk is not known. */
  | 'lost'
  /** An interrupted one with other options. */
  | 'other';

/** Compares what is in `directory` with `identity`; `ERR_DESTINATION_NOT_EMPTY` for what must not be touched. */
export async function examineState(
  directory: string,
  identity: DestinationIdentity,
): Promise<Found> {
  const text = await readText(path.join(directory, ownName, 'state.json'));
  const names = (await readdir(directory)).filter((name) => name !== ownName);
  if (text === undefined) {
    if (names.length > 0) {
      throw notEmpty(directory, 'it holds files that are not of an unpack');
    }
    return 'nothing';
  }
  const image = await readText(path.join(directory, 'image.json')).catch(() => undefined);
  const finished = parseImageJson(image ?? '');
  // What a power loss leaves of a small file: nothing, or zeros. What it said is in image.json, or there is none.
  const isLost = /^\0*$/.test(text);
  const found = isLost ? { ...wantedState(identity, ''), ...finished } : parseState(text);
  const difference = stateDifference(found, identity);
  if (found === undefined || difference !== undefined) {
    // What was chosen for the same image may change as long as its unpack was interrupted.
    const interrupted =
      found?.version === 1 &&
      found.manifestDigest === identity.manifestDigest &&
      names.every((name) => name === 'layers');
    if (!interrupted) {
      throw notEmpty(directory, difference ?? '');
    }
    return 'other';
  }
  if (isTrusted(directory, found)) {
    return 'same';
  }
  if (finished !== undefined && names.includes(flatRootName)) {
    const why = `${flatRootName} was made in an earlier boot, or copied since, and may lack what was not on the disk yet; you may have changed it: remove it, to have it made anew`;
    throw notEmpty(directory, why);
  }
  return 'lost';
}

/** Whether the files in `directory` are to be trusted; true where there is no state of them. */
export async function isTrustedDestination(directory: string): Promise<boolean> {
  const text = await readText(path.join(directory, ownName, 'state.json')).catch(() => undefined);
  const state = text === undefined ? undefined : parseState(text);
  return text === undefined || (state !== undefined && isTrusted(directory, state));
}

/** Writes the state of what is written into `directory` from now on, trusted in the present {@link instanceOf} it. */
export async function writeState(directory: string, identity: DestinationIdentity): Promise<void> {
  await replaceState(directory, wantedState(identity, presentInstance(directory) ?? ''), false);
}

/** Writes that all in `directory` is on the disk, where it must be, when the state is too. */
export async function writeDurableState(
  directory: string,
  identity: DestinationIdentity,
): Promise<void> {
  await replaceState(directory, wantedState(identity, anyBoot), true);
}

async function replaceState(directory: string, state: State, sync: boolean): Promise<void> {
  const file = path.join(directory, ownName, 'state.json');
  const temporary = await open(`${file}.tmp`, 'w', 0o666);
  try {
    await temporary.writeFile(`${JSON.stringify(state)}\n`);
    if (sync) {
      await temporary.sync();
    }
  } finally {
    await temporary.close();
  }
  await rename(`${file}.tmp`, file);
  if (sync) {
    syncDirectory(path.dirname(file));
  }
}

function wantedState(identity: DestinationIdentity, trustedIn: string): State {
  return { version: 1, ...identity, trustedIn };
}

function isTrusted(directory: string, { trustedIn }: State): boolean {
  return trustedIn === anyBoot || (trustedIn !== '' && trustedIn === presentInstance(directory));
}

/** Undefined without /proc: then nothing is trusted that is not known to be on the disk. */
function presentInstance(directory: string): string | undefined {
  try {
    // Not by mount: a destination in a container's volume is to be trusted in the next container too.
    return instanceOf(directory, false);
  } catch (error) {
    if ((error as UnpackError).code === 'ERR_UNSUPPORTED') {
      return undefined;
    }
    throw error;
  }
}

function parseState(text: string): State | undefined {
  try {
    return JSON.parse(text) as State;
  } catch {
    return undefined;
  }
}

function stateDifference(
  found: State | undefined,
  wanted: DestinationIdentity,
): string | undefined {
  if (found === undefined) {
    return 'its state file cannot be read';
  }
  if (found?.version !== 1) {
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

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return undefined;
    }
    throw error;
  }
}

export function notEmpty(directory: string, why: string): UnpackError {
  return new UnpackError('ERR_DESTINATION_NOT_EMPTY', `${directory}: is not empty: ${why}`, {
    path: directory,
  });
}
