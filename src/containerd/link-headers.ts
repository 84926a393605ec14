// What the headers of hardlinks in a layer say. containerd gives the file that is linked to mode, owner and time of the link's
// header too, so that the last one holds; ours keeps those of the file. Read again only where attributes of a file
// differ, which they hardly ever do: who makes layers writes the same into both.

import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable, Transform } from 'node:stream';
import zlib from 'node:zlib';
import { isZeroBlock, parsePax, parseTarHeader, textUntilNul } from '../source/tar-header.js';

const blockSize = 512;
/** Longer than any name or set of xattrs. */
const maxExtension = 16 * 1024 * 1024;

/** Attributes of a hardlink's header. */
export interface LinkHeader {
  /** Cleaned, without a leading slash. */
  name: string;
  target: string;
  mode: number;
  uid: number;
  gid: number;
  seconds: number;
  nanoseconds: number;
}

/** The hardlinks of a layer, in order; none where the blob cannot be read here. */
export async function readLinkHeaders(blob: string): Promise<LinkHeader[]> {
  const stream = await openTar(blob);
  if (stream === undefined) {
    return [];
  }
  const links: LinkHeader[] = [];
  try {
    const reader = new Reader(stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>);
    await readHeaders(reader, links);
  } catch {
    // What is there was read; the blob itself is checked elsewhere.
  } finally {
    stream.destroy();
  }
  return links;
}

async function readHeaders(reader: Reader, links: LinkHeader[]): Promise<void> {
  let pax = new Map<string, string>();
  for (;;) {
    const block = await reader.take(blockSize);
    if (block === undefined || isZeroBlock(block)) {
      return;
    }
    const header = parseTarHeader(block, 'layer');
    if ('xgLK'.includes(header.type)) {
      if (header.size > maxExtension) {
        return;
      }
      const body = (await reader.take(padded(header.size)))?.subarray(0, header.size);
      if (body === undefined) {
        return;
      }
      if (header.type === 'x') {
        pax = new Map([...pax, ...parsePax(body, 'layer')]);
      } else if (header.type !== 'g') {
        pax.set(header.type === 'L' ? 'path' : 'linkpath', textUntilNul(body));
      }
      continue;
    }
    if (header.type === '1') {
      const [seconds = '0', fraction = ''] = (pax.get('mtime') ?? '').split('.');
      const isPax = pax.has('mtime');
      links.push({
        name: clean(pax.get('path') ?? header.name),
        target: clean(pax.get('linkpath') ?? header.link),
        mode: octal(block, 100, 108) & 0o7777,
        uid: Number(pax.get('uid') ?? octal(block, 108, 116)),
        gid: Number(pax.get('gid') ?? octal(block, 116, 124)),
        seconds: isPax ? Number(seconds) : octal(block, 136, 148),
        nanoseconds: Number(fraction.padEnd(9, '0').slice(0, 9)),
      });
    }
    await reader.skip(padded(Number(pax.get('size') ?? header.size)));
    pax = new Map();
  }
}

/** The uncompressed tar; undefined for zstd where this Node has none. */
async function openTar(blob: string): Promise<Readable | undefined> {
  const handle = await open(blob).catch(() => undefined);
  if (handle === undefined) {
    return undefined;
  }
  const magic = Buffer.alloc(4);
  await handle.read(magic, 0, 4, 0);
  await handle.close();
  const file = createReadStream(blob);
  const through = (decoder: Transform) => {
    file.on('error', (error) => decoder.destroy(error));
    decoder.on('close', () => file.destroy());
    return file.pipe(decoder);
  };
  if (magic.readUInt16BE(0) === 0x1f8b) {
    return through(zlib.createGunzip());
  }
  if (magic.readUInt32LE(0) === 0xfd2fb528) {
    const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform };
    return createZstdDecompress && through(createZstdDecompress());
  }
  return file;
}

/** Takes pieces of any size out of chunks. */
class Reader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterator<Buffer>) {
    this.#chunks = chunks;
  }

  /** Undefined where less is left. */
  async take(length: number): Promise<Buffer | undefined> {
    const pieces = [this.#rest];
    for (let have = this.#rest.length; have < length; ) {
      const { value, done } = await this.#chunks.next();
      if (done) {
        return undefined;
      }
      pieces.push(value);
      have += value.length;
    }
    const all = pieces.length === 1 ? this.#rest : Buffer.concat(pieces);
    this.#rest = all.subarray(length);
    return all.subarray(0, length);
  }

  async skip(length: number): Promise<void> {
    let left = length;
    while (left > this.#rest.length) {
      left -= this.#rest.length;
      const { value, done } = await this.#chunks.next();
      if (done) {
        this.#rest = Buffer.alloc(0);
        return;
      }
      this.#rest = value;
    }
    this.#rest = this.#rest.subarray(left);
  }
}

function octal(block: Buffer, from: number, to: number): number {
  const field = block.subarray(from, to);
  if ((field[0] ?? 0) & 0x80) {
    // GNU's base-256.
    return field.subarray(1).reduce((value, byte) => value * 256 + byte, 0);
  }
  return Number.parseInt(textUntilNul(field).trim() || '0', 8);
}

function padded(size: number): number {
  return Math.ceil(size / blockSize) * blockSize;
}

function clean(name: string): string {
  return name
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}
