// Writes the demo's image as an OCI layout, all layers at once, and knows the tree that it means.

import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { mediaTypes } from '../oci/index.js';
import { makeBlobsDirectory, writeLayout } from '../source/write-layout.js';
import { changeLayer } from './change-layer.js';
import type { DemoEntry, DemoLayer } from './entry.js';
import { realLayers } from './real-files.js';
import { loadTarStream } from './tar-stream.js';
import { sha256, type Tree, truthOf } from './tree.js';

/** A layer blob. */
export interface DemoBlob {
  title: string;
  /** `sha256:...` of the blob. */
  digest: string;
  /** `sha256:...` of the tar. */
  diffID: string;
  /** Bytes of the blob. */
  size: number;
  /** Bytes of the tar. */
  uncompressedSize: number;
  entries: number;
}

/** The image that the demo has made. */
export interface DemoImage {
  /** `oci:PATH:latest`. */
  reference: string;
  /** Directory of the layout. */
  directory: string;
  /** Bottom first. */
  layers: DemoBlob[];
  /** Bytes of all blobs, and of all tars. */
  size: number;
  uncompressedSize: number;
  /** What an unpack and mount of it must show. */
  truth: Tree;
  /** Regular files in all layers. */
  files: number;
}

const tag = 'latest';
/** Of {@link makeDemoImage}. */
export interface DemoImageOptions {
  /** Only a part of the files, for a quick test. */
  small?: boolean;
  /** Nothing that other unpackers fail at. */
  forPeers?: boolean;
  signal?: AbortSignal;
}

/** Makes the image in `directory`, which is created. */
export async function makeDemoImage(
  directory: string,
  options: DemoImageOptions = {},
): Promise<DemoImage> {
  const real = await realLayers(options);
  const changes = changeLayer(real, options.forPeers ?? false);
  return writeImage(directory, [...real, changes], options.signal);
}

/** Writes `layers` as an OCI layout with gzip layers. */
export async function writeImage(
  directory: string,
  layers: DemoLayer[],
  signal?: AbortSignal,
): Promise<DemoImage> {
  const blobs = await makeBlobsDirectory(directory);
  const digests = new Map<string, string>();
  const written = await allEnded(
    layers.map((layer, index) => writeLayer(blobs, layer, index, digests, signal)),
  );
  const reference = await writeLayout(
    directory,
    written.map(({ title, digest, diffID, size }) => ({
      descriptor: { mediaType: mediaTypes.ociLayerGzip, digest, size },
      diffID,
      createdBy: title,
    })),
    tag,
  );
  const sum = (key: 'size' | 'uncompressedSize') =>
    written.reduce((total, layer) => total + layer[key], 0);
  return {
    reference,
    directory,
    layers: written,
    size: sum('size'),
    uncompressedSize: sum('uncompressedSize'),
    truth: truthOf(layers, digests),
    files: layers.flatMap(({ entries }) => entries).filter(({ type }) => type === 'file').length,
  };
}

/** As Promise.all, but fails only when all have ended: nothing may write where a failure is cleaned up after. */
async function allEnded<T>(promises: Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

/** Passes bytes on while hashing and counting them. */
class Meter extends Transform {
  readonly #hash = createHash('sha256');
  size = 0;

  override _transform(chunk: Buffer, _encoding: string, done: (e: null, chunk: Buffer) => void) {
    this.#hash.update(chunk);
    this.size += chunk.length;
    done(null, chunk);
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}

async function writeLayer(
  blobs: string,
  { title, entries }: DemoLayer,
  index: number,
  digests: Map<string, string>,
  signal: AbortSignal | undefined,
): Promise<DemoBlob> {
  const { pack: createPack } = await loadTarStream();
  const pack = createPack();
  const feed = async (): Promise<void> => {
    try {
      for (const entry of entries) {
        signal?.throwIfAborted();
        const body = await bodyOf(entry);
        if (entry.type === 'file') {
          digests.set(`${index}:${entry.path}`, sha256(body));
        }
        await new Promise<void>((resolve, reject) => {
          const written = (error?: Error | null) => (error ? reject(error) : resolve());
          // A pack that is destroyed tells it by this event only.
          pack.entry(headerOf(entry, body.length), body, written).on('error', reject);
        });
      }
      pack.finalize();
    } catch (error) {
      pack.destroy(error as Error);
      throw error;
    }
  };
  const tar = new Meter();
  const blob = new Meter();
  const temporary = path.join(blobs, `.layer-${index}`);
  // Level 1: what inflating costs hardly depends on the level, and making the image shall not take long.
  const gzip = createGzip({ level: 1, chunkSize: 1 << 18 });
  const flow = pipeline(pack, tar, gzip, blob, createWriteStream(temporary), { signal });
  await allEnded([feed(), flow]);
  const digest = blob.digest();
  await rename(temporary, path.join(blobs, digest));
  return {
    title,
    digest: `sha256:${digest}`,
    diffID: `sha256:${tar.digest()}`,
    size: blob.size,
    uncompressedSize: tar.size,
    entries: entries.length,
  };
}

async function bodyOf(entry: DemoEntry): Promise<Buffer> {
  if (entry.content === undefined) {
    return Buffer.alloc(0);
  }
  return 'file' in entry.content ? readFile(entry.content.file) : entry.content.bytes;
}

/** The header of an entry, in tar-stream's terms. */
function headerOf(entry: DemoEntry, size: number) {
  const seconds = entry.mtime / 1_000_000_000n;
  const fraction = String(entry.mtime % 1_000_000_000n).padStart(9, '0');
  const pax: Record<string, string> = { mtime: `${seconds}.${fraction}` };
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) {
    // tar-stream writes pax values as UTF-8, so only bytes below 0x80 arrive as they are.
    if (value.some((byte) => byte >= 0x80)) {
      throw new Error(`${entry.path}: the xattr ${name} has a byte that tar-stream cannot write`);
    }
    pax[`SCHILY.xattr.${name}`] = value.toString('latin1');
  }
  const types = { hardlink: 'link', whiteout: 'file', opaque: 'file' } as const;
  const type = entry.type in types ? types[entry.type as keyof typeof types] : entry.type;
  return {
    name: nameOf(entry),
    type: type as 'file' | 'link' | 'symlink' | 'directory',
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtime: new Date(Number(seconds) * 1000),
    size,
    pax,
    ...(entry.target !== undefined && { linkname: entry.target }),
  };
}

function nameOf({ path: name, type }: DemoEntry): string {
  switch (type) {
    case 'whiteout':
      return path.join(path.dirname(name), `.wh.${path.basename(name)}`);
    case 'opaque':
      return `${name}/.wh..wh..opq`;
    case 'directory':
      return name === '' ? './' : `${name}/`;
    default:
      return name;
  }
}
