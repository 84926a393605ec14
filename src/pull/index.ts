// What the rest of src/ uses of src/pull/.

export { downloadLayer, isDamage } from './layer-download.js';
export {
  type PullLayerProgress,
  type PullPhase,
  type PullProgress,
  PullTracker,
} from './progress.js';
