// Opens what a reference names: by its transport, or, for a bare path, by what lies there. What reads archives is
// loaded when there is one: a tenth of the time that a small unpack takes is loading of modules.

import { stat } from 'node:fs/promises';
import { UnpackError } from '../errors.js';
import { DirectoryFiles } from './directory-files.js';
import type { ImageFiles } from './image-files.js';
import { OciLayoutSource } from './oci-layout.js';
import {
  invalidReference,
  parseSelector,
  parseSourceReference,
  type SourceReference,
} from './parse-reference.js';
import type { ImageSource, Transport } from './source.js';

/** Options of {@link openImageSource}. */
export interface OpenOptions {
  /** Cancels the work that opening may take: decompressing an archive, hashing layers. */
  signal?: AbortSignal | undefined;
  /** Of a compressed archive, which is decompressed into $TMPDIR: as that of a layer; default none. */
  maxRatio?: number | undefined;
}

/**
 * Opens an image source.
 *
 * @param reference `oci:PATH[:TAG]`, `oci-archive:PATH[:TAG]` or `docker-archive:PATH[:NAME]`, after
 *   containers-transports(5), or `containerd:NAME`; TAG and NAME may be `@N`, the N-th image from 0 on. The path ends at the first colon. As a
 *   convenience also the path alone, `PATH[:NAME]`, of a layout directory or an archive; the source's `reference` then
 *   says what was found. An archive that is also an OCI layout (Docker 25 and later) counts as one.
 * @returns A source that the caller must close.
 * @throws UnpackError `ERR_INVALID_REFERENCE`, `ERR_NOT_FOUND`, `ERR_INVALID_IMAGE`, and for archives what
 *   opening them can meet
 */
export async function openImageSource(
  reference: string,
  options: OpenOptions = {},
): Promise<ImageSource> {
  if (typeof reference !== 'string') {
    throw invalidReference(String(reference), 'is not a text');
  }
  if (reference.startsWith('containerd:')) {
    const { ContainerdSource } = await import('./containerd-source.js');
    return ContainerdSource.open(reference);
  }
  const parsed = parseSourceReference(reference);
  if (parsed === undefined) {
    return openDetected(reference, options);
  }
  const files = await openFiles(parsed, options);
  return makeSource(files, parsed, options.signal);
}

async function makeSource(
  files: ImageFiles,
  reference: SourceReference,
  signal: AbortSignal | undefined,
): Promise<ImageSource> {
  if (reference.transport === 'docker-archive') {
    const { DockerArchiveSource } = await import('./docker-archive.js');
    return new DockerArchiveSource(files, reference, signal);
  }
  return new OciLayoutSource(files, reference);
}

async function openArchive(path: string, options: OpenOptions): Promise<ImageFiles> {
  const { ArchiveFiles } = await import('./archive-files.js');
  return ArchiveFiles.open(path, options);
}

async function openFiles(
  { transport, path }: SourceReference,
  options: OpenOptions,
): Promise<ImageFiles> {
  if (transport !== 'oci') {
    return openArchive(path, options);
  }
  const kind = await kindOf(path);
  if (kind === undefined) {
    throw new UnpackError('ERR_NOT_FOUND', `stat(${path}): ENOENT`, {
      syscall: 'stat',
      errno: 'ENOENT',
      path,
    });
  }
  if (kind !== 'directory') {
    throw new UnpackError(
      'ERR_INVALID_IMAGE',
      `${path}: is not a directory; an archive of an OCI layout is oci-archive:${path}`,
      { path },
    );
  }
  return new DirectoryFiles(path);
}

/** A path without a transport. */
async function openDetected(text: string, options: OpenOptions): Promise<ImageSource> {
  const { path, name, kind } = await findPath(text);
  const files = kind === 'directory' ? new DirectoryFiles(path) : await openArchive(path, options);
  try {
    const transport = await detectTransport(files, kind);
    const selector = name === undefined ? undefined : parseSelector(text, transport, name);
    const reference = { transport, path, ...(selector !== undefined && { selector }) };
    return await makeSource(files, reference, options.signal);
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** The path of `PATH[:NAME]`: all of the text when that exists, else what is before the first colon. */
async function findPath(
  text: string,
): Promise<{ path: string; name?: string; kind: 'file' | 'directory' }> {
  const whole = text === '' ? undefined : await kindOf(text);
  if (whole !== undefined) {
    return { path: text, kind: whole };
  }
  const colon = text.indexOf(':');
  const path = text.slice(0, Math.max(colon, 0));
  const kind = path === '' ? undefined : await kindOf(path);
  if (kind !== undefined) {
    return { path, name: text.slice(colon + 1), kind };
  }
  const transport = /^([a-z][a-z0-9+-]*):(?=\/\/)/.exec(text)?.[1];
  throw invalidReference(
    text,
    transport === undefined
      ? 'is neither a reference nor an existing path'
      : `transport ${transport} is not supported`,
  );
}

async function detectTransport(files: ImageFiles, kind: 'file' | 'directory'): Promise<Transport> {
  if ((await files.locate('oci-layout')) !== undefined) {
    return kind === 'directory' ? 'oci' : 'oci-archive';
  }
  if (kind === 'file' && (await files.locate('manifest.json')) !== undefined) {
    return 'docker-archive';
  }
  throw new UnpackError(
    'ERR_INVALID_IMAGE',
    kind === 'directory'
      ? `${files.name}: is no OCI layout: the file oci-layout is missing`
      : `${files.name}: is a tar, but holds neither an OCI layout (oci-layout) nor a docker archive (manifest.json)`,
    { path: files.name },
  );
}

async function kindOf(path: string): Promise<'file' | 'directory' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'directory' : 'file';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') {
      return undefined;
    }
    throw UnpackError.fromSystem(error, path);
  }
}
