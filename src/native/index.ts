// The addon, typed.

export type {
  Binding,
  FileWindow,
  Group,
  LayerCounts,
  LayerJob,
  LayerOptions,
  LayerResult,
  LayerTree,
  NativeError,
  Note,
  Probe,
  SettleResult,
  StageTimes,
} from './binding.js';
export { type FileLock, tryLockFile } from './file-lock.js';
export { addonCandidates, loadBinding, loadFrom } from './load.js';
