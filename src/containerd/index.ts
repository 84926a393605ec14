// What the rest of src/ uses of src/containerd/.

export {
  type ContainerdRoot,
  containerdRoot,
  defaultContainerdNamespace,
  defaultContainerdRoot,
} from './layout.js';
export type {
  ContainerdBlob,
  ContainerdContainer,
  ContainerdImage,
  ContainerdSnapshot,
  ContainerdSnapshotKind,
} from './records.js';
export { ContainerdStore } from './store.js';
