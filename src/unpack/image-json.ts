// Makes image.json and the mounts of an unpacked image, and reads image.json back.

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { type Format, formats } from './options.js';
import type { ImageJson, LayerReport, Mount } from './report.js';

/** Directory of the one merged tree of format `flat`, relative to image.json. */
export const flatRootName = 'rootfs';

/** Name of a layer's tree index, beside its `fs`. */
export const treeIndexName = 'tree.idx';

/** Path of layer `index` (0 is the bottom), relative to image.json. */
export function layerPath(index: number): string {
  return path.posix.join('layers', layerName(index), 'fs');
}

/** Name of the directory of layer `index`, which holds its `fs`, tree index and report. */
export function layerName(index: number): string {
  return String(index).padStart(3, '0');
}

/** How to mount, read-only, an image of `layers` (paths relative to `destination`, bottom first). */
export function imageMounts(destination: string, format: Format, layers: string[]): Mount[] {
  const sources = layers.map((layer) => path.join(destination, layer)).reverse();
  if (format === 'flat') {
    return [{ type: 'bind', source: path.join(destination, flatRootName), options: bindOptions }];
  }
  const [only] = sources;
  if (only === undefined) {
    return [];
  }
  if (format === 'aufs') {
    const branches = sources.map((source) => `${source}=ro+wh`).join(':');
    return [{ type: 'aufs', source: 'none', options: ['ro', `br:${branches}`] }];
  }
  if (sources.length === 1) {
    return [{ type: 'bind', source: only, options: bindOptions }];
  }
  return [overlayMount(sources, { userxattr: format === 'overlay-userxattr' })];
}

/** An overlay mount in containerd's shape; `lowers` top first, read-only without an upper directory. */
export function overlayMount(
  lowers: readonly string[],
  { userxattr, upper, work }: { userxattr: boolean; upper?: string; work?: string },
): Mount {
  const options = [`lowerdir=${lowers.map(escapeLower).join(':')}`];
  if (userxattr) {
    options.unshift('userxattr');
  }
  if (upper !== undefined && work !== undefined) {
    options.push(`upperdir=${escapeLower(upper)}`, `workdir=${escapeLower(work)}`);
  }
  return { type: 'overlay', source: 'overlay', options };
}

const bindOptions = ['ro', 'rbind'];

// overlayfs splits lowerdir at colons and the kernel splits options at commas; a backslash keeps both
// (fs/overlayfs/params.c, ovl_parse_param_split_lowerdirs and ovl_next_opt).
function escapeLower(directory: string): string {
  return directory.replace(/[\\:,]/g, '\\$&');
}

/** Puts image.json together; the layers' warnings move to the image's own list. */
export function makeImageJson(
  image: Pick<ImageJson, 'reference' | 'manifestDigest' | 'configDigest' | 'platform' | 'format'>,
  destination: string,
  layers: readonly LayerReport[],
): ImageJson {
  const paths = layers.map((layer) => layer.path);
  return {
    reference: image.reference,
    manifestDigest: image.manifestDigest,
    configDigest: image.configDigest,
    platform: image.platform,
    format: image.format,
    layers: layers.map(({ warnings: _, ...layer }) => layer),
    mounts: imageMounts(destination, image.format, paths),
    warnings: layers.flatMap(({ digest, warnings }) =>
      warnings.map((warning) => ({ layer: digest, ...warning })),
    ),
  };
}

/** Reads DEST/image.json; `ERR_NOT_FOUND` where there is none, `ERR_INVALID_IMAGE` where it is not one of ours. */
export async function readImageJson(destination: string): Promise<ImageJson> {
  const file = path.join(destination, 'image.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new UnpackError('ERR_NOT_FOUND', `${destination}: holds no image.json`, {
        path: file,
        cause: error,
      });
    }
    throw UnpackError.fromSystem(error, file);
  }
  const image = parseImageJson(text);
  if (image === undefined) {
    throw new UnpackError('ERR_INVALID_IMAGE', `${file}: is not an image.json of oci-unpack`, {
      path: file,
    });
  }
  return image;
}

/** Undefined when the text is not an image.json. */
export function parseImageJson(text: string): ImageJson | undefined {
  let image: ImageJson;
  try {
    image = JSON.parse(text) as ImageJson;
  } catch {
    return undefined;
  }
  const valid =
    typeof image?.manifestDigest === 'string' &&
    formats.includes(image.format) &&
    Array.isArray(image.warnings) &&
    Array.isArray(image.layers) &&
    image.layers.every((layer) => typeof layer?.path === 'string' && isInside(layer.path));
  return valid ? image : undefined;
}

function isInside(relative: string): boolean {
  return !path.isAbsolute(relative) && !path.normalize(relative).startsWith('..');
}
