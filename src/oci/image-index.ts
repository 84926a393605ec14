// Image indexes and Docker manifest lists (image-spec image-index.md).

import { type Descriptor, readIndexEntry } from './descriptor.js';
import { parseJson } from './json-reader.js';
import { checkDocument } from './manifest.js';

/** An index: images for several platforms, or the images of a layout. */
export interface ImageIndex {
  schemaVersion: 2;
  mediaType?: string;
  manifests: Descriptor[];
  annotations?: Record<string, string>;
}

/**
 * Parses an index.
 *
 * @param blob names it in errors, e.g. `index sha256:…`.
 * @param mediaType what its descriptor says it is; undefined for the index.json of a layout, which has none.
 * @throws UnpackError `ERR_INVALID_IMAGE`
 */
export function parseIndex(bytes: Uint8Array, blob: string, mediaType?: string): ImageIndex {
  const json = parseJson(bytes, blob);
  checkDocument(json, blob, mediaType);
  // CVE-2021-41190: bytes that can be read as a manifest and as an index are neither.
  for (const field of ['config', 'layers']) {
    if (json.has(field)) {
      json.fail(field, 'has no place in an index');
    }
  }
  const index: ImageIndex = {
    schemaVersion: 2,
    manifests: json.objects('manifests').map(readIndexEntry),
  };
  const type = mediaType ?? json.optionalString('mediaType');
  if (type !== undefined && type !== '') {
    index.mediaType = type;
  }
  const annotations = json.optionalStringMap('annotations');
  if (annotations !== undefined) {
    index.annotations = annotations;
  }
  return index;
}
