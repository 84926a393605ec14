/**
 * The public API of oci-unpack: unpack container images and layers, look at them, mount them, and ask what this
 * host can do.
 *
 * @packageDocumentation
 */

import { packageVersion } from './version.js';

export type {
  Bundle,
  BundleOptions,
  Containers,
  CreateContainerOptions,
  ProcessOptions,
  RunOptions,
  RunResult,
  RuntimeSpec,
} from './containers/index.js';
export type { ContentStore, ContentWriter, IngestStatus } from './content/index.js';
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
export type {
  Container,
  ContentInfo,
  Durability,
  Garbage,
  Image,
  ImageColumns,
  LabelChanges,
  Labels,
  Lease,
  LeaseResource,
  Reference,
  Resource,
  SnapshotKind,
  Usage,
} from './metadata/index.js';
export type { Descriptor } from './oci/index.js';
export type { PullLayerProgress, PullPhase, PullProgress } from './pull/progress.js';
export type { Credentials, RetryPolicy } from './registry/index.js';
export {
  mountAll,
  type SnapshotInfo,
  type Snapshotter,
  type SnapshotterKind,
  snapshotterKinds,
  unmountAll,
} from './snapshots/index.js';
export {
  type CreateLeaseOptions,
  defaultStoreRoot,
  type GcReport,
  type Images,
  type ImportOptions,
  type Leases,
  type PullOptions,
  type PullReport,
  type SnapshotChange,
  Store,
  type StoreDurability,
  type StoredImageInfo,
  type StoreLayerReport,
  type StoreOptions,
  type StoreReport,
  type StoreUnpackOptions,
  storeDurabilities,
  type VerifyOptions,
} from './store/index.js';
export {
  type ImageInfo,
  type InspectImageOptions,
  inspectImage,
  type LayerInfo,
} from './unpack/inspect-image.js';
export type { LayerSource } from './unpack/layer-source.js';
export { defaultMemoryBudget, setMemoryBudget } from './unpack/memory.js';
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
  type UnpackDurability,
  unpackDurabilities,
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

export {
  type AuditSource,
  type DamagedBlob,
  type EntryFacts,
  type Finding,
  type FindingKind,
  findingKinds,
  type ImageAudit,
  type PathList,
  type RepairStep,
  type Signature,
  type SignatureID,
  type SnapshotAudit,
  signatureIDs,
  type VerifyProgress,
  type VerifyReport,
  type Visibility,
} from './verify/index.js';

/** The version of this package. */
export const version: string = packageVersion();
