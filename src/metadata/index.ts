// What the rest of src/ uses of src/metadata/.

export type { ContainerStore } from './containers.js';
export type { ContentInfoStore } from './contents.js';
export { Database, type DatabaseOptions, hasMetadata, type Transaction } from './database.js';
export { compileFilters, type FieldOf, labelField, type Predicate } from './filters.js';
export { type Garbage, gc, type Reference, why } from './gc.js';
export type { ImageColumns, ImageStore } from './images.js';
export type { LeaseStore } from './leases.js';
export { checkIdentifier, checkLabels, checkName } from './names.js';
export type { Namespace } from './namespaces.js';
export {
  type Container,
  type ContentInfo,
  type Durability,
  gcLabels,
  type Image,
  type LabelChanges,
  type Labels,
  type Lease,
  type LeaseResource,
  type Resource,
  type Snapshot,
  type SnapshotKind,
  schemaVersion,
  snapshotKinds,
  type Time,
  type Usage,
} from './schema.js';
export type { SnapshotStore } from './snapshots.js';
