// What the rest of src/ uses of src/containers/.

export {
  type Bundle,
  type BundleOptions,
  Containers,
  type ContainersContext,
  type CreateContainerOptions,
  type RunOptions,
  type RunResult,
} from './containers.js';
export type { ProcessOptions, RuntimeSpec } from './runtime-spec.js';
