// Docker keeps no blobs, but of each layer a tar-split: every byte of its tar but the contents of files, of which it has
// sizes and CRCs. With the contents out of the layer's directory it makes the tar again, whose sha256 is the diffID.
// Format: github.com/vbatts/tar-split, tar/storage/entry.go and tar/asm/assemble.go.

import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
} from 'node:fs';
import { createGunzip } from 'node:zlib';
import { UnpackError } from '../errors.js';
import { Crc64 } from './crc64.js';

/** A line of a tar-split. */
export type TarSplitEntry =
  /** Bytes of the tar as they are: headers and padding. */
  | { kind: 'segment'; bytes: Buffer }
  /** The content of a file; `crc` in hexadecimal. */
  | { kind: 'file'; name: Buffer; size: number; crc: string };

/** A line has one segment: headers with their pax records, or the padding at the end of the tar. */
const maxLine = 64 * 1024 * 1024;
const pieceSize = 1024 * 1024;

/** @throws UnpackError `ERR_INVALID_STORE`, `ERR_NOT_FOUND` */
export async function* readTarSplit(file: string): AsyncGenerator<TarSplitEntry> {
  const fail = (problem: string) =>
    new UnpackError('ERR_INVALID_STORE', `${file}: ${problem}`, { path: file });
  const input = createReadStream(file);
  const gunzip = createGunzip();
  input.on('error', (error) => gunzip.destroy(error));
  let rest = Buffer.alloc(0);
  try {
    for await (const chunk of input.pipe(gunzip) as AsyncIterable<Buffer>) {
      rest = Buffer.concat([rest, chunk]);
      if (rest.length > maxLine) {
        throw fail('has a line that is too long');
      }
      let from = 0;
      for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10, from)) {
        yield parseLine(rest.subarray(from, end), fail);
        from = end + 1;
      }
      rest = rest.subarray(from);
    }
  } catch (error) {
    if (error instanceof UnpackError) {
      throw error;
    }
    const { code } = error as NodeJS.ErrnoException;
    throw code?.startsWith('Z_')
      ? fail('is damaged: no valid gzip')
      : UnpackError.fromSystem(error, file);
  } finally {
    input.destroy();
    gunzip.destroy();
  }
  if (rest.length > 0) {
    yield parseLine(rest, fail);
  }
}

function parseLine(line: Buffer, fail: (problem: string) => UnpackError): TarSplitEntry {
  let value: Record<string, unknown>;
  try {
    value = Object(JSON.parse(line.toString()));
  } catch {
    throw fail('is damaged: no JSON');
  }
  const { type, name, name_raw: raw, size = 0, payload } = value;
  const bytes = Buffer.from(typeof payload === 'string' ? payload : '', 'base64');
  if (type === 2) {
    return { kind: 'segment', bytes };
  }
  if (type !== 1 || !Number.isSafeInteger(size) || (size as number) < 0) {
    throw fail('is damaged, or of an unknown version');
  }
  return {
    kind: 'file',
    name: typeof raw === 'string' ? Buffer.from(raw, 'base64') : Buffer.from(String(name)),
    size: size as number,
    crc: bytes.toString('hex'),
  };
}

/** The tar of a layer, with the contents that are in its directory now; zeros for what is not there. */
export async function* assembleTar(file: string, directory: string): AsyncGenerator<Buffer> {
  for await (const entry of readTarSplit(file)) {
    if (entry.kind === 'segment') {
      yield entry.bytes;
      continue;
    }
    let left = entry.size;
    if (left > 0) {
      for (const piece of contentOf(directory, entry.name)) {
        const fitting = piece.subarray(0, left);
        left -= fitting.length;
        yield fitting;
        if (left === 0) {
          break;
        }
      }
    }
    for (; left > 0; left -= Math.min(left, pieceSize)) {
      yield Buffer.alloc(Math.min(left, pieceSize));
    }
  }
}

/** Names of files that have the size of the tar-split, but not its CRC. */
export async function changedFiles(file: string, directory: string): Promise<Buffer[]> {
  const last = new Map<string, { name: Buffer; size: number; crc: string }>();
  for await (const entry of readTarSplit(file)) {
    if (entry.kind === 'file') {
      last.set(entry.name.toString('latin1'), entry);
    }
  }
  const changed: Buffer[] = [];
  for (const { name, size, crc } of last.values()) {
    if (size > 0) {
      const sum = new Crc64();
      let length = 0;
      for (const piece of contentOf(directory, name)) {
        sum.update(piece);
        length += piece.length;
      }
      if (length === size && sum.hex() !== crc) {
        changed.push(name);
      }
    }
  }
  return changed;
}

/** The bytes of a regular file in the layer; none where there is no such. */
function* contentOf(directory: string, name: Buffer): Generator<Buffer> {
  const path = resolveIn(Buffer.from(directory), name);
  let descriptor: number;
  try {
    descriptor = openSync(
      path ?? '',
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
  } catch {
    return;
  }
  try {
    if (!fstatSync(descriptor).isFile()) {
      return;
    }
    for (;;) {
      const piece = Buffer.allocUnsafe(pieceSize);
      const count = readSync(descriptor, piece);
      if (count === 0) {
        return;
      }
      yield piece.subarray(0, count);
    }
  } catch {
    // Unreadable: the rest counts as zeros; the audit tells why.
  } finally {
    closeSync(descriptor);
  }
}

/** A name's path, the symlinks of its parents followed within the directory; undefined where they lead nowhere. */
function resolveIn(directory: Buffer, name: Buffer): Buffer | undefined {
  const slash = Buffer.from('/');
  const join = (parts: readonly string[]) =>
    Buffer.concat([directory, ...parts.flatMap((part) => [slash, Buffer.from(part, 'latin1')])]);
  let done: string[] = [];
  const pending = name.toString('latin1').split('/').reverse();
  for (let steps = 0; pending.length > 0; steps++) {
    const part = pending.pop() as string;
    if (steps > 4096) {
      return undefined;
    }
    if (part === '' || part === '.') {
      continue;
    }
    if (part === '..') {
      done.pop();
      continue;
    }
    const at = join([...done, part]);
    try {
      if (pending.some((one) => one !== '') && lstatSync(at).isSymbolicLink()) {
        const target = readlinkSync(at, 'buffer').toString('latin1');
        done = target.startsWith('/') ? [] : done;
        pending.push(...target.split('/').reverse());
        continue;
      }
    } catch {
      return undefined;
    }
    done.push(part);
  }
  return join(done);
}
