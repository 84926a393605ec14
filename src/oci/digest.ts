// Digests as the OCI image-spec writes them (descriptor.md): `algorithm:hex`, sha256 and sha512.

import { createHash } from 'node:crypto';

const hexLengths = { sha256: 64, sha512: 128 } as const;

/** The algorithms of the image-spec that are supported here. */
export type DigestAlgorithm = keyof typeof hexLengths;

/** A digest taken apart. */
export interface Digest {
  algorithm: DigestAlgorithm;
  /** Lower-case hex, 64 or 128 characters. */
  hex: string;
}

/** Takes `sha256:<64 hex>` or `sha512:<128 hex>` (lower case) apart; undefined for anything else. */
export function parseDigest(text: string): Digest | undefined {
  const match = /^(sha256|sha512):([0-9a-f]+)$/.exec(text);
  if (match === null) {
    return undefined;
  }
  const [, algorithm, hex] = match as unknown as [string, DigestAlgorithm, string];
  return hex.length === hexLengths[algorithm] ? { algorithm, hex } : undefined;
}

/** True for a well-formed digest of a supported algorithm. */
export function isDigest(text: string): boolean {
  return parseDigest(text) !== undefined;
}

/** True for what the image-spec allows as a digest (descriptor.md, "Digests"), of an algorithm that is not supported here. */
export function isForeignDigest(text: string): boolean {
  const [, algorithm = ''] = /^([a-z0-9]+(?:[+._-][a-z0-9]+)*):[A-Za-z0-9=_-]+$/.exec(text) ?? [];
  return algorithm !== '' && !Object.hasOwn(hexLengths, algorithm);
}

/** The digest of some bytes (of a string: its UTF-8), as `algorithm:hex`. */
export function digestOf(data: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(data).digest('hex')}`;
}

/** Whether the bytes have that digest; false for a digest that is malformed. */
export function matchesDigest(data: Uint8Array, digest: string): boolean {
  const parsed = parseDigest(digest);
  return parsed !== undefined && digestOf(data, parsed.algorithm) === digest;
}
