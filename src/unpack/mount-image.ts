// Mounts what unpackImage wrote, read-only or below a writable upper directory.

import { stat } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { givenPath } from '../given-path.js';
import { loadBinding, makeDirectory } from '../native/index.js';
import { isTrustedDestination } from './destination-state.js';
import { flatRootName, imageMounts, overlayMount, readImageJson } from './image-json.js';
import type { Mount } from './report.js';

/** Options of {@link mountImage}. */
export interface MountImageOptions {
  /**
   * A directory for changes, made where missing; the work directory of overlayfs is made beside it, named
   * `<upper>.work`. Without one the mount is read-only.
   */
  upper?: string;
  /** Called with what the caller should know, though the mount succeeds. */
  onWarning?: (message: string) => void;
}

/**
 * Mounts an image that {@link unpackImage} wrote to `destination` at `target`, an existing directory. The number
 * of layers and the length of their paths are not bounded by the 4 KiB of mount(2). Needs the right to mount:
 * root, or a user namespace with the format `overlay-userxattr`.
 *
 * What was unpacked in an earlier boot, or copied since, and is not known to be on the disk (`durability`), is mounted with
 * a warning: files may be missing or empty, and only {@link unpackImage} can make them anew.
 *
 * @returns the mount in containerd's shape.
 * @throws UnpackError
 */
export async function mountImage(
  destination: string,
  target: string,
  options: MountImageOptions = {},
): Promise<Mount> {
  const absolute = givenPath('destination', destination);
  const at = givenPath('target', target);
  const upper = options.upper === undefined ? undefined : givenPath('upper', options.upper);
  const image = await readImageJson(absolute);
  const relative =
    image.format === 'flat' ? [flatRootName] : image.layers.map((layer) => layer.path);
  if (relative.length === 0) {
    throw new UnpackError('ERR_INVALID_ARGUMENT', `${destination}: an image without layers`, {
      path: absolute,
    });
  }
  const lowers = relative.map((layer) => path.join(absolute, layer));
  for (const lower of lowers) {
    const found = await stat(lower).catch((error: unknown) => {
      throw UnpackError.fromSystem(error, lower);
    });
    if (!found.isDirectory()) {
      throw new UnpackError('ERR_NOT_FOUND', `${lower}: is not a directory`, { path: lower });
    }
  }
  if (options.onWarning !== undefined && !(await isTrustedDestination(absolute))) {
    options.onWarning(
      `${destination}: was unpacked in an earlier boot, or copied since, and is not known to be whole on the disk; unpack the image there again, which makes it anew`,
    );
  }
  try {
    return await mountLowers(lowers, imageMounts(absolute, image.format, relative), at, {
      upper,
      userxattr: image.format === 'overlay-userxattr',
    });
  } catch (error) {
    throw UnpackError.from(error);
  }
}

/** Mounts `lowers`, bottom first, as `readOnly` says, or below an upper directory; tells how. */
async function mountLowers(
  lowers: readonly string[],
  [readOnly]: Mount[],
  at: string,
  options: MountImageOptions & { userxattr: boolean },
): Promise<Mount> {
  const binding = loadBinding();
  const { upper, userxattr } = options;
  const topFirst = lowers.toReversed();
  if (upper === undefined) {
    if (readOnly === undefined || readOnly.type === 'aufs') {
      throw new UnpackError(
        'ERR_UNSUPPORTED',
        'format aufs cannot be mounted here: kernels of today have no aufs; unpack with --format overlay',
      );
    }
    if (readOnly.type === 'bind') {
      await binding.mountBind({ source: readOnly.source, target: at, readOnly: true });
    } else {
      await binding.mountOverlay({ lowers: topFirst, target: at, userxattr });
    }
    return readOnly;
  }
  const work = `${upper}.work`;
  await makeDirectory(upper);
  await makeDirectory(work);
  await binding.mountOverlay({ lowers: topFirst, upper, work, target: at, userxattr });
  return overlayMount(topFirst, { upper, work, userxattr });
}

/**
 * Takes away the mount at `target`.
 *
 * @throws UnpackError `ERR_MOUNT` where nothing is mounted, or it is busy.
 */
export async function unmount(target: string, options: { lazy?: boolean } = {}): Promise<void> {
  try {
    await loadBinding().unmount({
      target: givenPath('target', target),
      lazy: options.lazy ?? false,
    });
  } catch (error) {
    throw UnpackError.from(error);
  }
}
