// Reading JSON that others wrote: parsing with bounds, and typed access to fields. Whatever is wrong becomes
// ERR_INVALID_IMAGE with the name of the blob and of the field: `manifest sha256:…: layers[2].size: …`.

import { UnpackError } from '../errors.js';

/** Nesting beyond this is no image's; it also keeps recursive code that comes later off the end of the stack. */
const maxDepth = 64;

/** Parses a JSON document whose top is an object. `blob` names it in errors. */
export function parseJson(bytes: Uint8Array, blob: string): JsonReader {
  const value = parseJsonValue(bytes, blob);
  if (!isObject(value)) {
    throw new UnpackError('ERR_INVALID_IMAGE', `${blob}: is not a JSON object`);
  }
  return new JsonReader(value, blob, '');
}

/** Parses a JSON document whose top is an array of objects. */
export function parseJsonArray(bytes: Uint8Array, blob: string): JsonReader[] {
  const value = parseJsonValue(bytes, blob);
  return new JsonReader({ '': value }, blob, '').objects('');
}

/** A JSON object with its place in the document. Fields with the value `null` count as absent, as in Go. */
export class JsonReader {
  readonly #object: Record<string, unknown>;
  readonly #blob: string;
  readonly #place: string;

  constructor(object: Record<string, unknown>, blob: string, place: string) {
    this.#object = object;
    this.#blob = blob;
    this.#place = place;
  }

  /** The whole object, unchecked. */
  get raw(): Record<string, unknown> {
    return this.#object;
  }

  has(field: string): boolean {
    return this.#get(field) !== undefined;
  }

  string(field: string): string {
    return this.optionalString(field) ?? this.fail(field, 'is missing');
  }

  optionalString(field: string): string | undefined {
    const value = this.#get(field);
    if (value === undefined || typeof value === 'string') {
      return value;
    }
    return this.fail(field, 'is not a string');
  }

  /** A whole number from 0 to 2^53 - 1. */
  size(field: string): number {
    const value = this.#get(field);
    if (value === undefined) {
      return this.fail(field, 'is missing');
    }
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      return this.fail(field, `${JSON.stringify(value)} is not a whole number from 0 to 2^53 - 1`);
    }
    return value;
  }

  optionalBoolean(field: string): boolean | undefined {
    const value = this.#get(field);
    if (value === undefined || typeof value === 'boolean') {
      return value;
    }
    return this.fail(field, 'is not true or false');
  }

  object(field: string): JsonReader {
    return this.optionalObject(field) ?? this.fail(field, 'is missing');
  }

  optionalObject(field: string): JsonReader | undefined {
    const value = this.#get(field);
    if (value === undefined) {
      return undefined;
    }
    return isObject(value)
      ? new JsonReader(value, this.#blob, this.#name(field))
      : this.fail(field, 'is not an object');
  }

  objects(field: string): JsonReader[] {
    return this.optionalObjects(field) ?? this.fail(field, 'is missing');
  }

  optionalObjects(field: string): JsonReader[] | undefined {
    return this.#array(field)?.map((value, index) => {
      const place = `${field}[${index}]`;
      return isObject(value)
        ? new JsonReader(value, this.#blob, this.#name(place))
        : this.fail(place, 'is not an object');
    });
  }

  strings(field: string): string[] {
    return this.optionalStrings(field) ?? this.fail(field, 'is missing');
  }

  optionalStrings(field: string): string[] | undefined {
    return this.#array(field)?.map((value, index) =>
      typeof value === 'string' ? value : this.fail(`${field}[${index}]`, 'is not a string'),
    );
  }

  optionalStringMap(field: string): Record<string, string> | undefined {
    const map = this.optionalObject(field);
    if (map === undefined) {
      return undefined;
    }
    // fromEntries defines properties, so that a key "__proto__" is a key like any other.
    return Object.fromEntries(Object.keys(map.raw).map((key) => [key, map.string(key)]));
  }

  /** Throws `ERR_INVALID_IMAGE` about a field. */
  fail(field: string, problem: string): never {
    const name = this.#name(field);
    const where = name === '' ? this.#blob : `${this.#blob}: ${name}`;
    throw new UnpackError('ERR_INVALID_IMAGE', `${where}: ${problem}`);
  }

  #array(field: string): unknown[] | undefined {
    const value = this.#get(field);
    if (value === undefined || Array.isArray(value)) {
      return value;
    }
    return this.fail(field, 'is not an array');
  }

  #get(field: string): unknown {
    return Object.hasOwn(this.#object, field) ? (this.#object[field] ?? undefined) : undefined;
  }

  #name(field: string): string {
    return this.#place === '' ? field : `${this.#place}.${field}`;
  }
}

function parseJsonValue(bytes: Uint8Array, blob: string): unknown {
  if (nestsTooDeep(bytes)) {
    throw new UnpackError('ERR_INVALID_IMAGE', `${blob}: nests deeper than ${maxDepth} levels`);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new UnpackError('ERR_INVALID_IMAGE', `${blob}: is not valid JSON in UTF-8`, { cause });
  }
}

function nestsTooDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === backslash) {
        i++;
      } else if (byte === quote) {
        inString = false;
      }
    } else if (byte === quote) {
      inString = true;
    } else if (byte === openBracket || byte === openBrace) {
      depth++;
      if (depth > maxDepth) {
        return true;
      }
    } else if (byte === closeBracket || byte === closeBrace) {
      depth--;
    }
  }
  return false;
}

const quote = 0x22;
const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
