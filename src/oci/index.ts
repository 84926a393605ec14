// What the rest of src/ uses of src/oci/.

export { chainID, chainIDs } from './chain-id.js';
export { type HistoryStep, type ImageConfig, parseConfig } from './config.js';
export { type Descriptor, readDescriptor, requireKnownDigest } from './descriptor.js';
export {
  type Digest,
  type DigestAlgorithm,
  digestOf,
  isDigest,
  matchesDigest,
  parseDigest,
} from './digest.js';
export { type ImageIndex, parseIndex } from './image-index.js';
export { type JsonReader, parseJson, parseJsonArray } from './json-reader.js';
export { type ImageManifest, parseManifest, schema1Error } from './manifest.js';
export { type MediaKind, mediaKind, mediaTypes } from './media-types.js';
export {
  formatPlatform,
  hostPlatform,
  normalizePlatform,
  type Platform,
  parsePlatform,
  platformRank,
  runnablePlatforms,
} from './platform.js';
export {
  formatImageName,
  type ImageName,
  normalizeImageName,
  parseImageName,
} from './reference.js';
