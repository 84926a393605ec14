// What the rest of src/ uses of src/source/.

export { detectCompression, longestMagic } from './compression.js';
export { type OpenOptions, openImageSource } from './open-image-source.js';
export {
  type ResolvedImage,
  type ResolvedLayer,
  type ResolveOptions,
  resolveImage,
} from './resolve-image.js';
export type { BlobLocation, ImageDocuments, ImageSource, Transport } from './source.js';
