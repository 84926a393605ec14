// The addon, typed.

export type {
  AuditJob,
  AuditResult,
  Binding,
  CopyCounts,
  Difference,
  EntryFacts,
  FileWindow,
  Group,
  LayerCounts,
  LayerJob,
  LayerOptions,
  LayerResult,
  LayerTree,
  MetadataColumns,
  MetadataRange,
  MetadataSession,
  NativeError,
  Note,
  Probe,
  SettleResult,
  StageTimes,
} from './binding.js';
export { type FileLock, tryLockFile } from './file-lock.js';
export { addonCandidates, loadBinding, loadFrom } from './load.js';
export { makeDirectory, makeDirectorySync } from './make-directory.js';
export { removeTree } from './remove-tree.js';
export { syncFileSystemOf } from './sync-file-system.js';
