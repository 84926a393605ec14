// An image in a registry: what its name stands for, and its documents, from the content store where they are there.

import { UnpackError } from '../errors.js';
import {
  type Descriptor,
  digestOf,
  formatImageName,
  matchesDigest,
  mediaKind,
  mediaTypes,
  parseDigest,
  parseJson,
} from '../oci/index.js';
import type { ImageDocuments } from '../source/index.js';
import type { FetchedManifest, RegistryClient } from './client.js';

/** Documents that are there already, by digest. */
export type KnownDocuments = (descriptor: Descriptor) => Promise<Buffer | undefined>;

export class RegistryImage implements ImageDocuments {
  readonly reference: string;
  readonly #client: RegistryClient;
  readonly #known: KnownDocuments;
  readonly #isNew: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #documents = new Map<string, Promise<Buffer>>();
  #root: Promise<Descriptor> | undefined;

  /** @param isNew its manifest will be wanted: to ask first what the name stands for (HEAD) wins nothing */
  constructor(client: RegistryClient, known: KnownDocuments, isNew: boolean, signal?: AbortSignal) {
    this.reference = formatImageName(client.name);
    this.#client = client;
    this.#known = known;
    this.#isNew = isNew;
    this.#signal = signal;
  }

  resolve(): Promise<Descriptor> {
    this.#root ??= this.#resolve();
    return this.#root;
  }

  readBlob(descriptor: Descriptor): Promise<Buffer> {
    const { digest } = descriptor;
    let document = this.#documents.get(digest);
    if (document === undefined) {
      document = this.#read(descriptor);
      this.#documents.set(digest, document);
    }
    return document;
  }

  async #resolve(): Promise<Descriptor> {
    const { digest: wanted, tag = 'latest' } = this.#client.name;
    const reference = wanted ?? tag;
    const found = this.#isNew ? undefined : await this.#client.head(reference, this.#signal);
    if (found !== undefined && (await this.#known(found)) !== undefined) {
      return found;
    }
    // The length that HEAD has told is not relied on: some registries, and proxies before them, say 0.
    const { digest, mediaType, bytes } = await this.#manifest(reference, found?.digest);
    this.#documents.set(digest, Promise.resolve(bytes));
    return { digest, mediaType: mediaType || sniff(bytes, digest), size: bytes.length };
  }

  /** The manifest that a tag or digest stands for, `said` to be this one. */
  async #manifest(reference: string, said: string | undefined): Promise<FetchedManifest> {
    if (said !== undefined && said !== reference) {
      try {
        return await this.#client.manifest(said, digestLike, this.#signal);
      } catch (error) {
        const { code } = error as UnpackError;
        if (code !== 'ERR_IMAGE_NOT_FOUND' && code !== 'ERR_DIGEST_MISMATCH') {
          throw error;
        }
        // A host has told of what nobody has. By the tag it must show it, or another one is asked.
      }
    }
    return this.#client.manifest(reference, digestLike, this.#signal);
  }

  async #read(descriptor: Descriptor): Promise<Buffer> {
    const { digest } = descriptor;
    const known = await this.#known(descriptor);
    if (known !== undefined) {
      return known;
    }
    return this.#client.askInTurn(digest, () => this.#fetch(descriptor));
  }

  async #fetch({ digest, size, mediaType }: Descriptor): Promise<Buffer> {
    const kind = mediaKind(mediaType);
    const isManifest = kind === 'index' || kind === 'manifest' || kind === 'schema1';
    const bytes = isManifest
      ? (await this.#client.manifest(digest, digestLike, this.#signal)).bytes
      : await this.#client.document(digest, this.#signal);
    if (bytes.length !== size) {
      const problem = `has ${bytes.length} bytes in the registry, its descriptor says ${size}`;
      throw new UnpackError('ERR_SIZE_MISMATCH', `${this.reference}: blob ${digest}: ${problem}`);
    }
    if (!matchesDigest(bytes, digest)) {
      const problem = 'has other content in the registry than its digest says';
      throw new UnpackError('ERR_DIGEST_MISMATCH', `${this.reference}: blob ${digest}: ${problem}`);
    }
    return bytes;
  }
}

/** The digest of bytes, by the algorithm of another one. */
function digestLike(bytes: Buffer, like?: string): string {
  return digestOf(bytes, parseDigest(like ?? '')?.algorithm);
}

/** What a document says that it is, where the registry does not. */
function sniff(bytes: Buffer, digest: string): string {
  const json = parseJson(bytes, `manifest ${digest}`);
  const said = json.optionalString('mediaType') ?? '';
  if (said !== '') {
    return said;
  }
  return json.has('manifests') ? mediaTypes.ociIndex : mediaTypes.ociManifest;
}
