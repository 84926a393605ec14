// Descriptors: what points at a blob (image-spec descriptor.md).

import { UnpackError } from '../errors.js';
import { isDigest, isForeignDigest } from './digest.js';
import type { JsonReader } from './json-reader.js';
import { type Platform, readPlatform } from './platform.js';

/** A pointer to a blob. */
export interface Descriptor {
  mediaType: string;
  /** `sha256:…` or `sha512:…`, well formed; in an index also of another algorithm ({@link requireKnownDigest}). */
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
  return read(json, isDigest);
}

/** Reads a descriptor of an index: one that cannot be used here must not keep the others from being used. */
export function readIndexEntry(json: JsonReader): Descriptor {
  return read(json, (digest) => isDigest(digest) || isForeignDigest(digest));
}

/** @throws UnpackError `ERR_INVALID_IMAGE` for a digest of an algorithm that is not known here */
export function requireKnownDigest({ digest }: Descriptor): void {
  if (!isDigest(digest)) {
    throw new UnpackError('ERR_INVALID_IMAGE', `${digest}: ${notKnown}`);
  }
}

const notKnown = 'is not a sha256 or sha512 digest';

function read(json: JsonReader, isAllowed: (digest: string) => boolean): Descriptor {
  const mediaType = json.string('mediaType');
  // RFC 6838 section 4.2; a loose form, which keeps control characters out of messages.
  if (!/^[!-~]+\/[!-~]+$/.test(mediaType)) {
    json.fail('mediaType', 'is not a media type');
  }
  const digest = json.string('digest');
  if (!isAllowed(digest)) {
    json.fail('digest', `${JSON.stringify(digest)} ${notKnown}`);
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
