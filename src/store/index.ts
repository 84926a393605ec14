// What the rest of src/ uses of src/store/.

export { type StoreDurability, type StoreUnpackOptions, storeDurabilities } from './context.js';
export type { SnapshotChange } from './diff.js';
export { Images, type StoredImageInfo } from './images.js';
export type { ImportOptions } from './import-image.js';
export { type CreateLeaseOptions, Leases } from './leases.js';
export type { PullOptions, PullReport } from './pull-image.js';
export type { StoreLayerReport, StoreReport } from './report.js';
export { defaultStoreRoot, type GcReport, Store, type StoreOptions } from './store.js';
export type { VerifyOptions } from './verify.js';
