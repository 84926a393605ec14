// Image manifests, OCI and Docker schema 2 (image-spec manifest.md).

import { UnpackError } from '../errors.js';
import { type Descriptor, readDescriptor } from './descriptor.js';
import { type JsonReader, parseJson } from './json-reader.js';

/** An image manifest. */
export interface ImageManifest {
  schemaVersion: 2;
  mediaType?: string;
  config: Descriptor;
  /** Bottom first. */
  layers: Descriptor[];
  annotations?: Record<string, string>;
  artifactType?: string;
}

/**
 * Parses a manifest.
 *
 * @param blob names it in errors, e.g. `manifest sha256:…`.
 * @param mediaType what its descriptor says it is.
 * @throws UnpackError `ERR_INVALID_IMAGE`; `ERR_UNKNOWN_MEDIA_TYPE` for Docker schema 1
 */
export function parseManifest(bytes: Uint8Array, blob: string, mediaType: string): ImageManifest {
  const json = parseJson(bytes, blob);
  checkDocument(json, blob, mediaType);
  // CVE-2021-41190: bytes that can be read as a manifest and as an index are neither.
  if (json.has('manifests')) {
    json.fail('manifests', 'has no place in a manifest');
  }
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType,
    config: readDescriptor(json.object('config')),
    layers: json.objects('layers').map(readDescriptor),
  };
  const annotations = json.optionalStringMap('annotations');
  if (annotations !== undefined) {
    manifest.annotations = annotations;
  }
  const artifactType = json.optionalString('artifactType');
  if (artifactType !== undefined && artifactType !== '') {
    manifest.artifactType = artifactType;
  }
  return manifest;
}

/** What manifests and indexes share: schemaVersion 2, and a mediaType that does not contradict the descriptor. */
export function checkDocument(json: JsonReader, blob: string, mediaType: string | undefined): void {
  const version = json.size('schemaVersion');
  if (version === 1) {
    throw schema1Error(blob);
  }
  if (version !== 2) {
    json.fail('schemaVersion', `is ${version}, not 2`);
  }
  const own = json.optionalString('mediaType') ?? '';
  if (own !== '' && mediaType !== undefined && own !== mediaType) {
    json.fail('mediaType', `${JSON.stringify(own)} contradicts its descriptor's ${mediaType}`);
  }
}

/** The error for images of the format before 2016. */
export function schema1Error(blob: string): UnpackError {
  return new UnpackError(
    'ERR_UNKNOWN_MEDIA_TYPE',
    `${blob}: is a Docker schema 1 manifest, which is not supported; convert the image with skopeo copy --format v2s2`,
  );
}
