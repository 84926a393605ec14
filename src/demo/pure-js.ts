// Unpacks layers in pure JavaScript, as well as it can be done: the yardstick of the demo and the bench.
// All layers at once; zlib inflates on its own threads in large chunks, tar-stream parses, and both sha256
// are checked.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import {
  AsyncFileWriter,
  type FileWriter,
  StreamFileWriter,
  SyncFileWriter,
} from './pure-js-files.js';
import { PureJsWriter, type SkippedCounts, type TarHeaders } from './pure-js-writer.js';
import { loadTarStream } from './tar-stream.js';

/** A layer to unpack. */
export interface PureJsLayer {
  /** The blob: `length` bytes of `path` from `offset` on; by default all of it. */
  path: string;
  offset?: number;
  length?: number;
  /** `sha256:...` of the blob, checked. */
  digest: string;
  /** `sha256:...` of the tar, checked. */
  diffID: string;
}

/** What the caller wants. */
export interface PureJsOptions {
  /**
   * How files are written. `async`: on libuv's threads, many at a time, the event loop stays free; `sync`: by
   * blocking calls, which cost less, but nothing else runs in the process meanwhile; `streams`: a write stream for
   * each, as programs that use tar-stream do it.
   */
  calls: 'async' | 'sync' | 'streams';
  /** Set the owners that the layers record. */
  owners: boolean;
  signal?: AbortSignal;
}

const fileWriters = { async: AsyncFileWriter, sync: SyncFileWriter, streams: StreamFileWriter };

/** Where layer number `index` goes below `destination`. */
export function pureJsLayerPath(destination: string, index: number): string {
  return path.join(destination, String(index).padStart(3, '0'));
}

/**
 * Unpacks `layers`, the bottom first, to directories of `destination`, one for each. Whiteouts stay `.wh.` files, as
 * in aufs, since Node has no mknod.
 *
 * @returns what JavaScript had to leave out.
 */
export async function unpackInJavaScript(
  layers: readonly PureJsLayer[],
  destination: string,
  { calls, owners, signal }: PureJsOptions,
): Promise<SkippedCounts> {
  const umask = process.umask();
  const files = new fileWriters[calls](umask);
  const writers = layers.map(
    (_, index) => new PureJsWriter(pureJsLayerPath(destination, index), files, owners),
  );
  await Promise.all(
    writers.map((writer, index) => decode(layers[index] as PureJsLayer, writer, files, signal)),
  );
  await files.drain();
  const skipped: SkippedCounts = { xattrs: 0, devices: 0 };
  writers.forEach((writer, index) => {
    writer.settle(writers.slice(0, index).reverse()); // what needs the layers below, in order
    skipped.xattrs += writer.skipped.xattrs;
    skipped.devices += writer.skipped.devices;
  });
  return skipped;
}

/** Reads a blob into a writer; resolves when all its entries are written and both digests were right. */
async function decode(
  layer: PureJsLayer,
  writer: PureJsWriter,
  files: FileWriter,
  signal: AbortSignal | undefined,
): Promise<void> {
  await mkdir(writer.root, { recursive: true });
  const { extract: createExtract } = await loadTarStream();
  const extract = createExtract();
  extract.on('entry', (header, body, next) => {
    addEntry(header, body, writer, files).then(() => next(), next);
  });
  const blob = new Hash();
  const tar = new Hash();
  const { path: file, offset = 0, length } = layer;
  const source = createReadStream(file, {
    highWaterMark: 1 << 20,
    start: offset,
    ...(length !== undefined && { end: Math.max(offset + length - 1, 0) }),
  });
  await pipeline(source, blob, await inflate(file, offset), tar, extract, { signal });
  for (const [what, actual, expected] of [
    ['digest', blob.digest(), layer.digest],
    ['diffID', tar.digest(), layer.diffID],
  ]) {
    if (actual !== expected) {
      throw new Error(`${file}: its ${what} is ${actual}, expected ${expected}`);
    }
  }
}

async function addEntry(
  header: TarHeaders,
  body: NodeJS.ReadableStream,
  writer: PureJsWriter,
  files: FileWriter,
): Promise<void> {
  if (writer.replaces(header)) {
    await files.drain();
  }
  const file = writer.add(header);
  await new Promise<void>((resolve, reject) => {
    body
      .on('data', (chunk: Buffer) => {
        try {
          const written = file?.write(chunk);
          if (written !== undefined) {
            body.pause();
            written.then(() => body.resume(), reject);
          }
        } catch (error) {
          reject(error);
        }
      })
      .on('end', resolve)
      .on('error', reject);
  });
  await file?.close();
}

/** Passes bytes on while hashing them. */
class Hash extends Transform {
  readonly #hash = createHash('sha256');

  override _transform(chunk: Buffer, _encoding: string, done: (e: null, chunk: Buffer) => void) {
    this.#hash.update(chunk);
    done(null, chunk);
  }

  digest(): string {
    return `sha256:${this.#hash.digest('hex')}`;
  }
}

/** The decompressor for a blob, by its first bytes. */
async function inflate(file: string, offset: number): Promise<Transform> {
  const handle = await open(file);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, offset);
  await handle.close();
  const magic = buffer.toString('hex', 0, bytesRead);
  if (magic.startsWith('1f8b')) {
    return zlib.createGunzip({ chunkSize: 1 << 20 });
  }
  if (magic === '28b52ffd') {
    if (!('createZstdDecompress' in zlib)) {
      throw new Error(`${file}: zlib of Node ${process.version} has no zstd (22.15 and later do)`);
    }
    return (zlib.createZstdDecompress as () => Transform)();
  }
  return new PassThrough();
}
