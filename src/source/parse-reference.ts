// References as containers-transports(5) writes them: `TRANSPORT:PATH[:NAME]`, where NAME may be `@N`.

import { UnpackError } from '../errors.js';
import { normalizeImageName } from '../oci/index.js';
import type { Transport } from './source.js';

/** Which image of a layout or archive is meant: by name, or by its place, from 0 on. */
export type Selector = { name: string } | { position: number };

/** A reference taken apart. */
export interface SourceReference {
  transport: Transport;
  path: string;
  selector?: Selector;
}

/** How references are written, for messages. */
export const referenceForms =
  'oci:PATH[:TAG], oci-archive:PATH[:TAG], docker-archive:PATH[:NAME], containerd:NAME, or the path of a layout or archive';

/**
 * Parses `TRANSPORT:PATH[:NAME]`; undefined for text that begins with none of our transports.
 *
 * @throws UnpackError `ERR_INVALID_REFERENCE`
 */
export function parseSourceReference(text: string): SourceReference | undefined {
  if (text.includes('\0')) {
    throw invalidReference(text, 'contains a NUL');
  }
  const match = /^(oci|oci-archive|docker-archive):(.*)$/s.exec(text);
  if (match === null) {
    return undefined;
  }
  const [, transport, rest] = match as unknown as [string, Transport, string];
  // As in skopeo the first colon ends the path: names contain colons, paths cannot.
  const colon = rest.indexOf(':');
  const path = colon === -1 ? rest : rest.slice(0, colon);
  if (path === '') {
    throw invalidReference(text, 'has no path');
  }
  if (colon === -1) {
    return { transport, path };
  }
  return { transport, path, selector: parseSelector(text, transport, rest.slice(colon + 1)) };
}

/** Parses what follows the path. */
export function parseSelector(text: string, transport: Transport, name: string): Selector {
  if (name === '') {
    throw invalidReference(text, 'has nothing after the last colon');
  }
  const position = /^@(\d{1,9})$/.exec(name)?.[1];
  if (position !== undefined) {
    return { position: Number(position) };
  }
  if (transport === 'docker-archive') {
    if (name.includes('@')) {
      throw invalidReference(text, 'a docker archive knows no digests; use REPOSITORY[:TAG] or @N');
    }
    if (normalizeImageName(name) === undefined) {
      throw invalidReference(text, `${JSON.stringify(name)} is not REPOSITORY[:TAG] or @N`);
    }
  }
  return { name };
}

/** The reference as text. */
export function formatSourceReference({ transport, path, selector }: SourceReference): string {
  if (selector === undefined) {
    return `${transport}:${path}`;
  }
  return `${transport}:${path}:${'name' in selector ? selector.name : `@${selector.position}`}`;
}

/** The error for a text that is no reference. */
export function invalidReference(text: string, problem: string): UnpackError {
  return new UnpackError(
    'ERR_INVALID_REFERENCE',
    `${JSON.stringify(text)}: ${problem}; an image is ${referenceForms}`,
  );
}
