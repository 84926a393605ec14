// Where the members of an uncompressed tar lie: reads the headers alone, by position, so that an archive of any size
// opens at once. ustar, pax (POSIX.1-2017, pax, "pax Interchange Format") and GNU long names and big numbers.
// Only for archives of images; layers are read by native/tar.

import type { FileHandle } from 'node:fs/promises';
import { UnpackError } from '../errors.js';
import { readAt } from './image-files.js';
import {
  blockSize,
  isZeroBlock,
  type PaxRecords,
  parsePax,
  parseTarHeader,
  type TarHeader,
  textUntilNul,
} from './tar-header.js';
import { TarMembers } from './tar-members.js';

/** Headers are read through a window of this many bytes: small members follow each other, big ones are skipped. */
const windowSize = 4096;
/** Bytes of one pax header or GNU long name. */
const maxExtension = 1024 * 1024;
const maxMembers = 200_000;

/**
 * Reads the headers of a tar.
 *
 * @param size of the file, in bytes.
 * @param name stands in errors.
 * @throws UnpackError `ERR_INVALID_TAR`, `ERR_TRUNCATED`, `ERR_LIMIT_EXCEEDED`
 */
export async function readTarIndex(
  handle: FileHandle,
  size: number,
  name: string,
): Promise<TarMembers> {
  return new TarIndexReader(handle, size, name).read();
}

class TarIndexReader {
  readonly #handle: FileHandle;
  readonly #size: number;
  readonly #name: string;
  readonly #members: TarMembers;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;
  #offset = 0;
  #headers = 0;
  readonly #global: PaxRecords = new Map();
  #isGlobalSparse = false;
  /** What extension headers say about the entry that follows them. */
  #pax: PaxRecords = new Map();
  #longName: string | undefined;
  #longLink: string | undefined;

  constructor(handle: FileHandle, size: number, name: string) {
    this.#handle = handle;
    this.#size = size;
    this.#name = name;
    this.#members = new TarMembers(name);
  }

  async read(): Promise<TarMembers> {
    while (this.#offset < this.#size) {
      const at = this.#offset;
      const block = await this.#block(at);
      if (isZeroBlock(block)) {
        break;
      }
      if (++this.#headers > maxMembers) {
        throw new UnpackError(
          'ERR_LIMIT_EXCEEDED',
          `${this.#name}: has more than ${maxMembers} members, which no archive of images has`,
        );
      }
      await this.#entry(parseTarHeader(block, `${this.#name}: tar header at ${at}`));
    }
    return this.#members;
  }

  async #entry(header: TarHeader): Promise<void> {
    this.#offset += blockSize;
    switch (header.type) {
      case 'x':
        this.#pax = await this.#records(header);
        return;
      case 'g': {
        const records = await this.#records(header);
        for (const [keyword, value] of records) {
          this.#global.set(keyword, value);
        }
        this.#isGlobalSparse ||= isSparse(records);
        return;
      }
      case 'L':
        this.#longName = textUntilNul(await this.#extension(header));
        return;
      case 'K':
        this.#longLink = textUntilNul(await this.#extension(header));
        return;
    }
    // Looked up in both: to merge them for each entry would take hours of an archive that has many records and members.
    const pax = (keyword: string) => this.#pax.get(keyword) ?? this.#global.get(keyword);
    const path = pax('GNU.sparse.name') ?? pax('path') ?? this.#longName ?? header.name;
    const link = pax('linkpath') ?? this.#longLink ?? header.link;
    const where = `${this.#name}: ${path}`;
    const hasPax = this.#pax.size + this.#global.size > 0;
    const length = bodyLength(header, pax('size'), hasPax, where);
    const sparse = header.type === 'S' || isSparse(this.#pax) || this.#isGlobalSparse;
    if (header.extended) {
      await this.#skipSparseBlocks();
    }
    const offset = this.#offset;
    this.#advance(length, where);
    this.#pax = new Map();
    this.#longName = undefined;
    this.#longLink = undefined;
    switch (header.type) {
      case '0':
      case '\0':
      case '7':
      case 'S':
        // Before ustar a directory was a file whose name ends in a slash.
        this.#members.add(
          path,
          header.type === '\0' && path.endsWith('/')
            ? { kind: 'other' }
            : { kind: sparse ? 'sparse' : 'file', offset, length },
        );
        return;
      case '1':
        this.#members.add(path, { kind: 'hardlink', target: link });
        return;
      case '2':
        this.#members.add(path, { kind: 'symlink', target: link });
        return;
      default:
        this.#members.add(path, { kind: 'other' });
    }
  }

  /** Moves past a body and its padding, which the file must have. */
  #advance(length: number, where: string): void {
    const end = this.#offset + length;
    if (end > this.#size) {
      throw new UnpackError(
        'ERR_TRUNCATED',
        `${where}: ends at ${end} bytes, but the archive has ${this.#size}`,
        { path: this.#name },
      );
    }
    // The padding of the last member may be missing.
    this.#offset = Math.ceil(end / blockSize) * blockSize;
  }

  async #records(header: TarHeader): Promise<PaxRecords> {
    const at = this.#offset;
    return parsePax(await this.#extension(header), `${this.#name}: pax header at ${at}`);
  }

  /** The body of an extension header. */
  async #extension(header: TarHeader): Promise<Buffer> {
    const offset = this.#offset;
    const where = `${this.#name}: extension header at ${offset}`;
    if (header.size > maxExtension) {
      throw new UnpackError(
        'ERR_LIMIT_EXCEEDED',
        `${where}: has ${header.size} bytes, more than ${maxExtension}`,
      );
    }
    this.#advance(header.size, where);
    return readAt(this.#handle, offset, header.size, this.#name);
  }

  /** Old GNU sparse files have more of their map in blocks between header and body. */
  async #skipSparseBlocks(): Promise<void> {
    let more = true;
    while (more) {
      more = (await this.#block(this.#offset))[504] === 1;
      this.#offset += blockSize;
      if (++this.#headers > maxMembers) {
        throw new UnpackError('ERR_LIMIT_EXCEEDED', `${this.#name}: a sparse map is too long`);
      }
    }
  }

  async #block(offset: number): Promise<Buffer> {
    if (offset + blockSize > this.#size) {
      throw new UnpackError(
        'ERR_TRUNCATED',
        `${this.#name}: ends within the tar header at ${offset}`,
        {
          path: this.#name,
        },
      );
    }
    const inWindow = offset - this.#windowStart;
    if (inWindow < 0 || inWindow + blockSize > this.#window.length) {
      const length = Math.min(windowSize, this.#size - offset);
      this.#window = await readAt(this.#handle, offset, length, this.#name);
      this.#windowStart = offset;
    }
    const start = offset - this.#windowStart;
    return this.#window.subarray(start, start + blockSize);
  }
}

function isSparse(records: PaxRecords): boolean {
  for (const keyword of records.keys()) {
    if (keyword.startsWith('GNU.sparse.')) {
      return true;
    }
  }
  return false;
}

/** How many bytes follow the header; `text` is what pax says of it, and `hasPax` whether that says anything. */
function bodyLength(
  header: TarHeader,
  text: string | undefined,
  hasPax: boolean,
  where: string,
): number {
  let size = header.size;
  if (text !== undefined) {
    size = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(size)) {
      throw new UnpackError('ERR_INVALID_TAR', `${where}: pax size ${JSON.stringify(text)}`);
    }
  }
  switch (header.type) {
    case '1':
      // POSIX lets hardlinks of pax archives carry the content; before pax the size was there without a body.
      return hasPax ? size : 0;
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
      return 0;
    default:
      return size;
  }
}
