// Descriptors: what points at a blob (image-spec descriptor.md).

import { isDigest } from './digest.js';
import type { JsonReader } from './json-reader.js';
import { type Platform, readPlatform } from './platform.js';

/** A pointer to a blob. */
export interface Descriptor {
  mediaType: string;
  /** `sha256:…` or `sha512:…`, well formed. */
  digest: string;
  /** Bytes; a safe integer. */
  size: number;
  annotations?: Record<string, string>;
  /** In an index: what the image is made for. */
  platform?: Platform;
  /** Other places to get the blob from; never used without being asked to. */
  urls?: string[];
  artifactType?: string;
}

/** Reads and checks a descriptor. */
export function readDescriptor(json: JsonReader): Descriptor {
  const mediaType = json.string('mediaType');
  // RFC 6838 section 4.2; a loose form, which keeps control characters out of messages.
  if (!/^[!-~]+\/[!-~]+$/.test(mediaType)) {
    json.fail('mediaType', 'is not a media type');
  }
  const digest = json.string('digest');
  if (!isDigest(digest)) {
    json.fail('digest', `${JSON.stringify(digest)} is not a sha256 or sha512 digest`);
  }
  const descriptor: Descriptor = { mediaType, digest, size: json.size('size') };
  const annotations = json.optionalStringMap('annotations');
  if (annotations !== undefined) {
    descriptor.annotations = annotations;
  }
  const platform = json.optionalObject('platform');
  if (platform !== undefined) {
    descriptor.platform = readPlatform(platform);
  }
  const urls = json.optionalStrings('urls');
  if (urls !== undefined) {
    descriptor.urls = urls;
  }
  const artifactType = json.optionalString('artifactType');
  if (artifactType !== undefined && artifactType !== '') {
    descriptor.artifactType = artifactType;
  }
  return descriptor;
}
