// What the rest of src/ uses of src/content/.

export {
  type Chunks,
  type ContentLocation,
  ContentStore,
  type ContentStoreOptions,
  type IngestOptions,
} from './content-store.js';
export type { IngestStatus } from './ingests.js';
export { blobPath } from './layout.js';
export type { CommitOptions, ContentWriter, WriterOptions } from './writer.js';
