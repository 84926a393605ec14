// What the rest of src/ uses of src/source/.

export { type OpenOptions, openImageSource } from './open-image-source.js';
export {
  type ResolvedImage,
  type ResolvedLayer,
  type ResolveOptions,
  resolveImage,
} from './resolve-image.js';
export type { BlobLocation, ImageSource, Transport } from './source.js';
