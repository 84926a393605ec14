// A compressed archive, decompressed into a temporary file. Node does the work: this is the slow path, and the message
// of a compression that it cannot do says what to type.

import { randomBytes } from 'node:crypto';
import { access, type FileHandle, open, unlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import { UnpackError } from '../errors.js';
import type { OpenedFile } from './archive-files.js';
import type { Compression } from './compression.js';
import { readAt } from './image-files.js';
import { checkSpace, uncompressedSize } from './space.js';

const chunkSize = 1024 * 1024;

/** Output from which on the ratio is looked at, as the addon does it for a layer. */
const ratioFromBytes = 64 * 2 ** 20;

/**
 * Decompresses `file` and closes it.
 *
 * @param name of the archive, for errors.
 * @throws UnpackError `ERR_LIMIT_EXCEEDED`; `ERR_NO_SPACE`, where the archive says its size before anything is written
 */
export async function decompressToTemporary(
  file: OpenedFile,
  compression: Exclude<Compression, 'none'>,
  name: string,
  { signal, maxRatio }: { signal?: AbortSignal | undefined; maxRatio?: number | undefined },
): Promise<OpenedFile> {
  const decoder = makeDecoder(compression, name);
  const bytes = await uncompressedSize({ path: file.path, offset: 0, length: file.size });
  await checkSpace(os.tmpdir(), { bytes, inodes: 1 });
  const temporary = await openTemporary();
  try {
    const check = (written: number) => checkRatio(written, file.size, maxRatio, name);
    const write = (chunks: AsyncIterable<Buffer>) => writeChunks(temporary.handle, chunks, check);
    const options = signal === undefined ? {} : { signal };
    await pipeline(readChunks(file, name), decoder, write, options);
    const { size } = await temporary.handle.stat();
    await file.close();
    return { ...temporary, size };
  } catch (error) {
    await temporary.close();
    throw decodeError(error, compression, name);
  }
}

/** Not FileHandle.createReadStream: a handle that a stream holds cannot be closed before the stream. */
async function* readChunks(file: OpenedFile, name: string): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < file.size; offset += chunkSize) {
    yield await readAt(file.handle, offset, Math.min(chunkSize, file.size - offset), name);
  }
}

async function writeChunks(
  handle: FileHandle,
  chunks: AsyncIterable<Buffer>,
  check: (written: number) => void,
): Promise<void> {
  let written = 0;
  for await (const chunk of chunks) {
    written += chunk.length;
    check(written);
    for (let at = 0; at < chunk.length; ) {
      at += (await handle.write(chunk, at)).bytesWritten;
    }
  }
}

function checkRatio(
  written: number,
  compressed: number,
  maxRatio: number | undefined,
  name: string,
): void {
  if (maxRatio !== undefined && written > ratioFromBytes && written > maxRatio * compressed) {
    throw new UnpackError(
      'ERR_LIMIT_EXCEEDED',
      `${name}: ${written} bytes came out of ${compressed}: more than ${maxRatio} times as many (limit maxRatio)`,
      { path: name },
    );
  }
}

function makeDecoder(compression: Exclude<Compression, 'none'>, name: string): Transform {
  if (compression === 'gzip') {
    return zlib.createGunzip({ chunkSize });
  }
  if (compression === 'zstd') {
    // Since Node 22.15 and 23.8; not in the types of Node 20.
    const { createZstdDecompress } = zlib as {
      createZstdDecompress?: (options: object) => Transform;
    };
    if (createZstdDecompress !== undefined) {
      return createZstdDecompress({ chunkSize });
    }
    throw new UnpackError(
      'ERR_UNSUPPORTED',
      `${name}: is compressed with zstd, which Node ${process.versions.node} cannot decompress; type: zstd -d ${name}`,
      { path: name },
    );
  }
  throw new UnpackError(
    'ERR_UNKNOWN_COMPRESSION',
    `${name}: is compressed with ${compression}; decompress it first: ${compression} -d ${name}`,
    { path: name },
  );
}

/** A file in $TMPDIR that is deleted already: it goes with its handle, even when the process is killed. */
async function openTemporary(): Promise<Omit<OpenedFile, 'size'>> {
  const file = path.join(os.tmpdir(), `oci-unpack-${randomBytes(9).toString('base64url')}.tar`);
  let handle: FileHandle;
  try {
    handle = await open(file, 'wx+', 0o600);
  } catch (error) {
    throw UnpackError.fromSystem(error, file);
  }
  const viaProc = `/proc/self/fd/${handle.fd}`;
  try {
    await access(viaProc);
  } catch {
    // Without /proc the file must keep its name to be opened again.
    const close = async () => {
      await handle.close();
      await unlink(file).catch(() => {});
    };
    return { handle, path: file, close };
  }
  await unlink(file);
  return { handle, path: viaProc, close: () => handle.close() };
}

function decodeError(error: unknown, compression: Compression, name: string): UnpackError {
  if (error instanceof UnpackError) {
    return error;
  }
  const { code, message } = error as NodeJS.ErrnoException;
  const at = `${name}: ${message}`;
  if (code === 'Z_BUF_ERROR') {
    return new UnpackError('ERR_TRUNCATED', `${name}: the compressed data ends too early`, {
      path: name,
      cause: error,
    });
  }
  if (code !== undefined && /^(Z_|ZSTD_)/.test(code)) {
    const kind = compression === 'gzip' ? 'ERR_INVALID_GZIP' : 'ERR_INVALID_ZSTD';
    return new UnpackError(kind, at, { path: name, cause: error });
  }
  return UnpackError.fromSystem(error, os.tmpdir());
}
