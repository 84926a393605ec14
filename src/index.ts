/**
 * The public API of oci-unpack: unpack container images and layers, look at them, mount them, and ask what this
 * host can do.
 *
 * @packageDocumentation
 */

import { readFileSync } from 'node:fs';

export {
  type CheckStatus,
  type ExamineHostOptions,
  examineHost,
  type HostCheck,
  type HostReport,
} from './doctor/index.js';
export {
  type ErrorInfo,
  errorCodes,
  errorTable,
  UnpackError,
  type UnpackErrorCode,
  type UnpackErrorDetails,
} from './errors.js';
export {
  type ImageInfo,
  type InspectImageOptions,
  inspectImage,
  type LayerInfo,
} from './unpack/inspect-image.js';
export type { LayerSource } from './unpack/layer-source.js';
export { type MountImageOptions, mountImage, unmount } from './unpack/mount-image.js';
export {
  type CommonOptions,
  type Format,
  formats,
  type IdMap,
  type Limits,
  limitDefaults,
  type Policies,
  policyValues,
} from './unpack/options.js';
export type { LayerPhase, LayerProgress, UnpackProgress } from './unpack/progress.js';
export type {
  ImageJson,
  ImageLayer,
  ImageReport,
  ImageWarning,
  LayerCounts,
  LayerReport,
  Mount,
  Warning,
} from './unpack/report.js';
export { type UnpackImageOptions, unpackImage } from './unpack/unpack-image.js';
export { type ParentLayer, type UnpackLayerOptions, unpackLayer } from './unpack/unpack-layer.js';

const packageJson = new URL('../package.json', import.meta.url);

/** The version of this package. */
export const version: string = (
  JSON.parse(readFileSync(packageJson, 'utf8')) as { version: string }
).version;
