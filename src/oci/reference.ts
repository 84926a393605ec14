// Image names as Docker writes them, `[domain/]path[:tag][@digest]`, by the grammar of
// github.com/distribution/reference, with its defaults: docker.io, library/, latest.

import { UnpackError } from '../errors.js';
import { parseDigest } from './digest.js';

/** An image name taken apart and completed. */
export interface ImageName {
  /** Host, with a port where one was given; `docker.io` by default. */
  domain: string;
  /** Repository without the domain, e.g. `library/debian`. */
  path: string;
  /** Undefined where there is only a digest. */
  tag?: string;
  digest?: string;
}

const defaultDomain = 'docker.io';
const maxNameLength = 255;
const domainComponent = '(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])';
const domainPattern = new RegExp(
  `^(?:${domainComponent}(?:\\.${domainComponent})*|\\[[0-9A-Fa-f:]+\\])(?::[0-9]+)?$`,
);
const componentPattern = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/**
 * Parses an image name and fills in the defaults. Without a tag and a digest the tag is `latest`.
 *
 * @throws UnpackError `ERR_INVALID_REFERENCE`
 */
export function parseImageName(text: string): ImageName {
  const fail = (problem: string): never => {
    throw new UnpackError(
      'ERR_INVALID_REFERENCE',
      `${JSON.stringify(text)}: ${problem}; an image name is [domain/]path[:tag][@digest]`,
    );
  };
  const at = text.indexOf('@');
  const named = at === -1 ? text : text.slice(0, at);
  const digest = at === -1 ? undefined : text.slice(at + 1);
  if (digest !== undefined && parseDigest(digest) === undefined) {
    fail('the digest is not sha256:<64 hex> or sha512:<128 hex>');
  }
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const name = colon === -1 ? named : named.slice(0, colon);
  const tag = colon === -1 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !tagPattern.test(tag)) {
    fail('the tag is not 1 to 128 letters, digits, "_", "." and "-"');
  }
  if (/^[0-9a-f]{64}$/.test(name)) {
    fail('64 hex digits are an image ID, not a name');
  }
  const slash = name.indexOf('/');
  const first = slash === -1 ? '' : name.slice(0, slash);
  const hasDomain = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  const given = hasDomain ? first : defaultDomain;
  const domain = given === 'index.docker.io' ? defaultDomain : given;
  const rest = hasDomain ? name.slice(slash + 1) : name;
  const path = domain === defaultDomain && !rest.includes('/') ? `library/${rest}` : rest;
  if (domain.length + 1 + path.length > maxNameLength) {
    fail(`the name is longer than ${maxNameLength} characters`);
  }
  if (!domainPattern.test(domain)) {
    fail('the domain is not a host name or address');
  }
  if (!path.split('/').every((component) => componentPattern.test(component))) {
    fail(
      path === path.toLowerCase()
        ? 'the repository is malformed'
        : 'the repository must be lower case',
    );
  }
  return {
    domain,
    path,
    ...(tag !== undefined && { tag }),
    ...(tag === undefined && digest === undefined && { tag: 'latest' }),
    ...(digest !== undefined && { digest }),
  };
}

/** The full form, e.g. `docker.io/library/debian:latest`. */
export function formatImageName(name: ImageName): string {
  const tag = name.tag === undefined ? '' : `:${name.tag}`;
  const digest = name.digest === undefined ? '' : `@${name.digest}`;
  return `${name.domain}/${name.path}${tag}${digest}`;
}

/** The full form of a name, or undefined where it is none. */
export function normalizeImageName(text: string): string | undefined {
  try {
    return formatImageName(parseImageName(text));
  } catch {
    return undefined;
  }
}
