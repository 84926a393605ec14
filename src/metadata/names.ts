// What names, keys, ids and labels may look like. Parts of LMDB keys hold no control characters (a tab separates them)
// and together fit into the 1978 bytes that LMDB allows with 4 KiB pages.

import { UnpackError } from '../errors.js';
import { isDigest } from '../oci/digest.js';
import { type LabelChanges, type Labels, snapshotKinds } from './schema.js';

const maxNameBytes = 768;
const maxShortBytes = 128;
const maxLabelBytes = 4096;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const control = /[\u0000-\u001f\u007f]/;
const loneSurrogate = /\p{Surrogate}/u; // has no UTF-8, and would come back as another text

function invalid(what: string, value: unknown, problem: string): never {
  throw new UnpackError('ERR_INVALID_ARGUMENT', `${what} ${JSON.stringify(value)}: ${problem}`);
}

function checkText(what: string, value: unknown, maxBytes: number): string {
  if (typeof value !== 'string' || value === '') {
    return invalid(what, value, 'is not a text that is not empty');
  }
  if (Buffer.byteLength(value) > maxBytes) {
    return invalid(what, value, `is longer than ${maxBytes} bytes`);
  }
  if (control.test(value)) {
    return invalid(what, value, 'holds control characters');
  }
  return loneSurrogate.test(value) ? invalid(what, value, 'is not well-formed Unicode') : value;
}

/** A name of an image, a key of a snapshot, a ref. */
export function checkName(what: string, value: string): string {
  return checkText(what, value, maxNameBytes);
}

/** An id of a container or lease, a namespace or a kind of snapshotter, by containerd's rule for identifiers. */
export function checkIdentifier(what: string, value: string): string {
  const text = checkText(what, value, maxShortBytes);
  return /^[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*$/.test(text)
    ? text
    : invalid(what, value, 'is not letters and digits with ".", "_" or "-" between them');
}

export function checkDigest(digest: string): string {
  return typeof digest === 'string' && isDigest(digest)
    ? digest
    : invalid('digest', digest, 'is not a sha256 or sha512 digest');
}

/** Bytes, counts, times: whole numbers from 0. */
export function checkNumber(what: string, value: number): number {
  return Number.isSafeInteger(value) && value >= 0
    ? value
    : invalid(what, value, 'is not a whole number from 0 to 2^53 - 1');
}

export function checkSnapshotKind(kind: string): void {
  if (!(snapshotKinds as readonly string[]).includes(kind)) {
    invalid('kind', kind, `is none of ${snapshotKinds.join(', ')}`);
  }
}

/** Checks the labels and copies them. */
export function checkLabels(labels: Labels | undefined): Labels {
  return mergeLabels({}, labels);
}

/** `labels` with the changes made; null takes a label away. */
export function mergeLabels(labels: Labels, changes: LabelChanges | undefined): Labels {
  if (changes === undefined) {
    return labels;
  }
  const merged = new Map(Object.entries(labels));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) {
      merged.delete(name);
      continue;
    }
    if (typeof value !== 'string' || loneSurrogate.test(value)) {
      invalid('label', name, 'its value is not text');
    }
    if (name === '' || control.test(name) || loneSurrogate.test(name)) {
      invalid('label', name, 'is empty or holds control characters');
    }
    if (Buffer.byteLength(name) + Buffer.byteLength(value) > maxLabelBytes) {
      invalid('label', name, `is longer than ${maxLabelBytes} bytes with its value`);
    }
    merged.set(name, value);
  }
  return Object.fromEntries(merged);
}
