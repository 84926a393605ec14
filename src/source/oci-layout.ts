// The OCI image layout (image-spec image-layout.md), in a directory or in an archive.

import { UnpackError } from '../errors.js';
import {
  type Descriptor,
  digestOf,
  formatPlatform,
  isDigest,
  mediaKind,
  mediaTypes,
  normalizeImageName,
  normalizePlatform,
  parseIndex,
  parseJson,
} from '../oci/index.js';
import { ambiguous, type Entry, matchingEntries } from './choose-entry.js';
import { type ImageFiles, locateLayoutBlob, readDocument, readLayoutBlob } from './image-files.js';
import { formatSourceReference, type SourceReference } from './parse-reference.js';
import type { BlobLocation, ImageSource, Transport } from './source.js';

const tagAnnotation = 'org.opencontainers.image.ref.name';
/** What containerd, BuildKit and Docker write beside the tag. */
const nameAnnotation = 'io.containerd.image.name';

/** Transports `oci` and `oci-archive`. */
export class OciLayoutSource implements ImageSource {
  readonly reference: string;
  readonly transport: Transport;
  readonly #files: ImageFiles;
  readonly #parsed: SourceReference;
  /** Documents that are not blobs of the layout: index.json itself, where its entries are one image's platforms. */
  readonly #own = new Map<string, Buffer>();
  #root: Promise<Descriptor> | undefined;

  constructor(files: ImageFiles, reference: SourceReference) {
    this.reference = formatSourceReference(reference);
    this.transport = reference.transport;
    this.#files = files;
    this.#parsed = reference;
  }

  resolve(): Promise<Descriptor> {
    this.#root ??= this.#findRoot();
    return this.#root;
  }

  async readBlob(descriptor: Descriptor): Promise<Buffer> {
    return this.#own.get(descriptor.digest) ?? readLayoutBlob(this.#files, descriptor);
  }

  locateBlob(descriptor: Descriptor): Promise<BlobLocation> {
    return locateLayoutBlob(this.#files, descriptor);
  }

  close(): Promise<void> {
    return this.#files.close();
  }

  async #findRoot(): Promise<Descriptor> {
    await this.#checkLayout();
    const where = this.#files.name;
    const bytes = await readDocument(this.#files, 'index.json');
    if (bytes === undefined) {
      throw new UnpackError(
        'ERR_INVALID_IMAGE',
        `${where}: is no OCI layout: index.json is missing`,
      );
    }
    const { manifests } = parseIndex(bytes, `${where}: index.json`);
    const entries = manifests.map(toEntry);
    const { selector } = this.#parsed;
    const matching = matchingEntries(entries, selector, where);
    // Signatures and attestations lie beside images; only by name or place are they meant.
    const images = selector === undefined ? matching.filter(isImageEntry) : matching;
    const all = distinct(images.length > 0 ? images : matching);
    const known = all.filter(({ descriptor }) => isDigest(descriptor.digest));
    const fitting = areOneImagesPlatforms(all) || known.length === 0 ? all : known;
    const [first] = fitting;
    if (first !== undefined && fitting.length === 1) {
      return first.descriptor;
    }
    if (!areOneImagesPlatforms(fitting)) {
      throw ambiguous(entries, fitting, where);
    }
    const index = { schemaVersion: 2, manifests: fitting.map(({ descriptor }) => descriptor) };
    const own = Buffer.from(JSON.stringify(index));
    const digest = digestOf(own);
    this.#own.set(digest, own);
    return { mediaType: mediaTypes.ociIndex, digest, size: own.length };
  }

  async #checkLayout(): Promise<void> {
    const where = this.#files.name;
    const bytes = await readDocument(this.#files, 'oci-layout');
    if (bytes === undefined) {
      const hint = (await this.#files.locate('manifest.json')) === undefined ? '' : otherKinds;
      throw new UnpackError(
        'ERR_INVALID_IMAGE',
        `${where}: is no OCI layout: the file oci-layout is missing${hint}`,
        { path: where },
      );
    }
    const version = parseJson(bytes, `${where}: oci-layout`).string('imageLayoutVersion');
    if (!/^1\.\d+\.\d+$/.test(version)) {
      throw new UnpackError(
        'ERR_INVALID_IMAGE',
        `${where}: oci-layout: imageLayoutVersion: ${JSON.stringify(version)} is unknown; 1.0.0 is supported`,
      );
    }
  }
}

const otherKinds =
  '; it has a manifest.json: an archive of docker save is docker-archive:PATH, and a directory of skopeo (dir:PATH) must be copied with skopeo copy dir:PATH oci:OTHER';

interface LayoutEntry extends Entry {
  descriptor: Descriptor;
}

function toEntry(descriptor: Descriptor): LayoutEntry {
  const tag = descriptor.annotations?.[tagAnnotation];
  const name = descriptor.annotations?.[nameAnnotation];
  const names = tag !== undefined && tag !== '' ? [tag] : name !== undefined ? [name] : [];
  const full = [name, tag].flatMap((text) => {
    const normal = text === undefined ? undefined : normalizeImageName(text);
    return normal === undefined ? [] : [normal];
  });
  const isAlso = (text: string): boolean => {
    const normal = normalizeImageName(text);
    return normal !== undefined && full.includes(normal);
  };
  return { descriptor, names, isAlso };
}

function isImageEntry({ descriptor }: LayoutEntry): boolean {
  const kind = mediaKind(descriptor.mediaType);
  return (kind === 'index' || kind === 'manifest') && descriptor.artifactType === undefined;
}

/** One entry per digest: the same image under two tags is no choice. */
function distinct(entries: readonly LayoutEntry[]): LayoutEntry[] {
  const byDigest = new Map<string, LayoutEntry>();
  for (const entry of entries) {
    if (!byDigest.has(entry.descriptor.digest)) {
      byDigest.set(entry.descriptor.digest, entry);
    }
  }
  return [...byDigest.values()];
}

/** Whether entries differ in their platform alone, so that index.json is the index of one image. */
function areOneImagesPlatforms(entries: readonly LayoutEntry[]): boolean {
  const names = new Set(entries.map(({ names: own }) => own.join('\n')));
  const platforms = entries.flatMap(({ descriptor: { platform } }) =>
    platform === undefined ? [] : [formatPlatform(normalizePlatform(platform))],
  );
  return names.size === 1 && new Set(platforms).size === entries.length;
}
