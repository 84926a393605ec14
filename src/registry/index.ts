// What the rest of src/ uses of src/registry/.

export { type BlobReadOptions, readBlob, type TakeBytes } from './blob-reader.js';
export { type ClientOptions, RegistryClient } from './client.js';
export type { Credentials } from './credentials.js';
export { defaultHostsDirectories } from './hosts.js';
export { RegistryImage } from './registry-image.js';
export type { RetryPolicy } from './retry.js';
