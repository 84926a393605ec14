// Asks the hosts of a repository, one after the other, for manifests and blobs: redirects, authentication, retries, and
// what an answer means (github.com/opencontainers/distribution-spec, "Pull").

import { UnpackError } from '../errors.js';
import { type ImageName, isDigest, mediaKind, mediaTypes, schema1Error } from '../oci/index.js';
import {
  checkContentDigest,
  denied,
  isNoManifest,
  isObject,
  mediaTypeOf,
  messageOf,
  mismatch,
  noManifest,
} from './answer.js';
import { Authorizer } from './authorizer.js';
import { type Credentials, findCredentials } from './credentials.js';
import { TransientFailure, unexpected } from './failure.js';
import { type Capability, type HostOptions, hostsFor, type RegistryHost } from './hosts.js';
import { follow } from './redirects.js';
import { defaultRetryPolicy, parseRetryAfter, type RetryPolicy, withRetries } from './retry.js';
import { type Answer, headerOf, readBytes, type TlsOptions, Transport } from './transport.js';

/** How registries are spoken to. */
export interface ClientOptions extends HostOptions {
  /** Instead of those in the files of Docker and Podman; only for the domain's own host. */
  credentials?: Credentials | undefined;
  /** A file like Docker's config.json; default `$REGISTRY_AUTH_FILE`, else Docker's and Podman's own. */
  authFile?: string | undefined;
  retry?: Partial<RetryPolicy> | undefined;
  /** Milliseconds without a byte until a connection counts as broken. Default 30,000. */
  stallTimeout?: number | undefined;
}

/** A manifest or an index as a registry hands it out; its digest is checked. */
export interface FetchedManifest {
  digest: string;
  mediaType: string;
  bytes: Buffer;
}

/** A manifest is at most this long, in bytes; twice what the distribution-spec asks of registries. */
const maxManifestBytes = 8 * 1024 * 1024;
const connectTimeout = 15_000;
const defaultStallTimeout = 30_000;
/** Tries with a host when there is another one to ask, and the longest Retry-After that is waited for then. */
const mirrorPatience = { attempts: 2, maxRetryAfter: 1000 };

const acceptManifests = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerManifestList,
  mediaTypes.dockerManifest,
].join(', ');

interface Host extends RegistryHost {
  authorizer: Authorizer;
}

/** What is asked for. */
interface Question {
  method: 'GET' | 'HEAD';
  kind: 'manifests' | 'blobs';
  /** A tag or digest. */
  reference: string;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/** The repository of one image, as its hosts serve it. Close it. */
export class RegistryClient {
  readonly name: ImageName;
  readonly retry: RetryPolicy;
  readonly #hosts: readonly Host[];
  readonly #transport: Transport;
  readonly #plainTls: TlsOptions;
  /** By tag or digest: the hosts that have answered, and of them those that are not asked any more. */
  readonly #answered = new Map<string, Set<Host>>();
  readonly #avoided = new Map<string, Set<Host>>();

  private constructor(
    name: ImageName,
    hosts: readonly Host[],
    transport: Transport,
    options: ClientOptions,
  ) {
    this.name = name;
    this.#hosts = hosts;
    this.#transport = transport;
    this.#plainTls = { ca: options.ca };
    this.retry = { ...defaultRetryPolicy, ...options.retry };
  }

  /** @throws UnpackError what {@link hostsFor} throws */
  static async open(name: ImageName, options: ClientOptions = {}): Promise<RegistryClient> {
    const found = await hostsFor(name.domain, options);
    const { stallTimeout = defaultStallTimeout, authFile } = options;
    const transport = new Transport({ connect: connectTimeout, stall: stallTimeout });
    const hosts = found.map((host): Host => {
      const { host: address, origin } = new URL(host.base);
      const own = host.namespace === undefined;
      const authorizer = new Authorizer({
        transport,
        origin,
        tls: host.tls,
        scope: `repository:${name.path}:pull`,
        credentials: async (signal) =>
          (own ? options.credentials : undefined) ??
          (await findCredentials(own ? name.domain : address, name.path, { authFile, signal })),
      });
      return { ...host, authorizer };
    });
    return new RegistryClient(name, hosts, transport, options);
  }

  /**
   * What the tag or digest stands for, by HEAD; undefined where the registry does not say it so. A digest stands for
   * itself.
   *
   * @throws UnpackError `ERR_IMAGE_NOT_FOUND`, and those of every request
   */
  async head(
    reference: string,
    signal?: AbortSignal,
  ): Promise<{ digest: string; mediaType: string; size: number } | undefined> {
    const question = {
      method: 'HEAD',
      kind: 'manifests',
      reference,
      headers: { accept: acceptManifests },
      signal,
    } as const;
    const ask = () =>
      this.#askHosts(question).then(
        (answer) => {
          answer.body.discard();
          const digest = headerOf(answer, 'docker-content-digest');
          const size = Number(headerOf(answer, 'content-length') ?? Number.NaN);
          const mediaType = mediaTypeOf(answer);
          if (digest === undefined || mediaType === undefined || !Number.isSafeInteger(size)) {
            return undefined;
          }
          if (mediaKind(mediaType) === 'unknown') {
            return undefined; // The manifest itself tells what it is, or that it is none.
          }
          const wanted = isDigest(reference) ? reference : undefined;
          checkContentDigest(answer, wanted);
          // A header of another algorithm proves nothing about what was asked for.
          return { digest: wanted ?? digest, mediaType, size };
        },
        (error: unknown) => {
          // Some registries know no HEAD.
          if (error instanceof UnpackError && error.cause === methodNotAllowed) {
            return undefined;
          }
          throw error;
        },
      );
    return this.askInTurn(reference, ask);
  }

  /**
   * A manifest or index by tag or digest, its digest checked.
   *
   * @throws UnpackError `ERR_IMAGE_NOT_FOUND`, `ERR_DIGEST_MISMATCH`, `ERR_REGISTRY` for what is no JSON,
   * `ERR_LIMIT_EXCEEDED`, and those of every request
   */
  async manifest(
    reference: string,
    digestOf: (bytes: Buffer, like?: string) => string,
    signal?: AbortSignal,
  ): Promise<FetchedManifest> {
    const ask = async () => {
      const answer = await this.#askHosts({
        method: 'GET',
        kind: 'manifests',
        reference,
        headers: { accept: acceptManifests },
        signal,
      });
      const bytes = await this.#readDocument(answer, `manifest ${reference}`);
      const mediaType = mediaTypeOf(answer) ?? '';
      if (mediaKind(mediaType) === 'schema1') {
        throw schema1Error(`manifest ${reference}`); // its digest is that of a part of it
      }
      checkContentDigest(answer, undefined);
      const said = headerOf(answer, 'docker-content-digest');
      const wanted = isDigest(reference) ? reference : said;
      const digest = digestOf(bytes, wanted);
      const isOfKind = wanted !== undefined && mediaKind(mediaType) !== 'unknown';
      if (digest !== wanted && !isOfKind && !isObject(bytes)) {
        throw noManifest(answer, reference, bytes.length);
      }
      for (const expected of [wanted, said]) {
        if (expected !== undefined && expected !== digestOf(bytes, expected)) {
          throw mismatch(answer, expected, digest);
        }
      }
      return { digest, mediaType, bytes };
    };
    return this.askInTurn(reference, () => withRetries(this.retry, signal, ask));
  }

  /** A small blob; who asks checks its digest. @throws UnpackError `ERR_BLOB_NOT_FOUND`, `ERR_LIMIT_EXCEEDED` */
  async document(digest: string, signal?: AbortSignal): Promise<Buffer> {
    return withRetries(this.retry, signal, async () => {
      const answer = await this.openBlob(digest, undefined, signal);
      return this.#readDocument(answer, `blob ${digest}`);
    });
  }

  /**
   * Opens a blob, or a part of it: status 206, or 200 with all of it where the registry knows no ranges. The body
   * may break off.
   *
   * @throws UnpackError `ERR_BLOB_NOT_FOUND`, and those of every request
   */
  async openBlob(
    digest: string,
    range: { from: number; to?: number | undefined } | undefined,
    signal?: AbortSignal,
  ): Promise<Answer> {
    const answer = await this.#askHosts({
      method: 'GET',
      kind: 'blobs',
      reference: digest,
      headers: range === undefined ? {} : { range: `bytes=${range.from}-${range.to ?? ''}` },
      signal,
    });
    try {
      checkContentDigest(answer, digest);
    } catch (error) {
      answer.body.discard();
      throw error;
    }
    return answer;
  }

  /** A blob from elsewhere, with nothing of ours: no credentials, no certificate, no header. */
  async openForeign(
    url: URL,
    range: { from: number; to?: number | undefined } | undefined,
    signal?: AbortSignal,
  ): Promise<Answer> {
    const headers: Record<string, string> =
      range === undefined ? {} : { range: `bytes=${range.from}-${range.to ?? ''}` };
    const request = { url, method: 'GET', headers, tls: this.#plainTls, signal } as const;
    return follow(this.#transport, request, {}, this.#plainTls).then((answer) =>
      this.#judge(answer, `blob ${url.href}`, 'ERR_BLOB_NOT_FOUND'),
    );
  }

  /**
   * Does `work`, which asks for a tag or digest and looks at what comes; again without the host that has answered as long as
   * that is not what was asked for and another one comes after it.
   */
  async askInTurn<T>(reference: string, work: () => Promise<T>): Promise<T> {
    let wrong: UnpackError | undefined;
    for (;;) {
      try {
        return await work();
      } catch (caught) {
        const error = UnpackError.from(caught);
        const isWrong =
          error.code === 'ERR_DIGEST_MISMATCH' ||
          error.code === 'ERR_SIZE_MISMATCH' ||
          isNoManifest(error);
        if (!isWrong || !this.avoid(reference)) {
          // That the others cannot help says less than what was wrong.
          throw error.code === 'ERR_ABORTED' ? error : (wrong ?? error);
        }
        wrong ??= error;
      }
    }
  }

  /**
   * What has come for a tag or digest was wrong: the first of the hosts that have answered is not asked for it any more. False
   * where none comes after it.
   */
  avoid(reference: string): boolean {
    const able = this.#able(reference);
    const wrong = able.find((host) => this.#answered.get(reference)?.has(host));
    if (wrong === undefined || wrong === able.at(-1)) {
      return false;
    }
    addTo(this.#avoided, reference, wrong);
    return true;
  }

  /** The hosts that something has come from that was wrong, and came from the next one. */
  get avoided(): string[] {
    const all = [...this.#avoided.values()].flatMap((hosts) => [...hosts]);
    return [...new Set(all.map(({ base }) => new URL(base).host))];
  }

  async close(): Promise<void> {
    await this.#transport.close();
  }

  /** The hosts to ask for a tag or digest, in order. */
  #able(reference: string): Host[] {
    const capability = capabilityFor(reference);
    const avoided = this.#avoided.get(reference);
    return this.#hosts.filter(
      (host) => host.capabilities.includes(capability) && !avoided?.has(host),
    );
  }

  /** Asks each host that can tell; the first that answers well. What the last one says counts. */
  async #askHosts(question: Question): Promise<Answer> {
    const able = this.#able(question.reference);
    const last = able.at(-1);
    if (last === undefined) {
      throw new UnpackError(
        'ERR_INVALID_HOSTS',
        `${this.name.domain}: no host has the capability "${capabilityFor(question.reference)}"`,
      );
    }
    for (const host of able.slice(0, -1)) {
      try {
        return await this.#askHost(host, question, { ...this.retry, ...mirrorPatience });
      } catch (error) {
        if (question.signal?.aborted) {
          throw error;
        }
        // A mirror that cannot help is no failure: the next one is asked.
      }
    }
    return this.#askHost(last, question, this.retry);
  }

  async #askHost(host: Host, question: Question, policy: RetryPolicy): Promise<Answer> {
    const { method, kind, reference, headers, signal } = question;
    const url = new URL(`${host.base}/${this.name.path}/${kind}/${reference}`);
    if (host.namespace !== undefined) {
      url.searchParams.set('ns', host.namespace);
    }
    const absent = kind === 'manifests' ? 'ERR_IMAGE_NOT_FOUND' : 'ERR_BLOB_NOT_FOUND';
    const what = `${url.host}/${this.name.path}: ${kind} ${reference}`;
    return withRetries(policy, signal, async () => {
      for (let tries = 0; ; tries++) {
        const authorization = await host.authorizer.header(signal);
        const own = { ...host.headers, ...(authorization !== undefined && { authorization }) };
        const request = { url, method, headers: headers ?? {}, tls: host.tls, signal };
        const answer = await follow(this.#transport, request, own, this.#plainTls);
        const atHome = answer.url.origin === url.origin;
        if (answer.status === 401 && atHome && tries < 2) {
          answer.body.discard();
          if (await host.authorizer.accept(answer.headers, authorization, signal)) {
            continue;
          }
          throw denied(what, 401, authorization === undefined ? 'asks for credentials' : '');
        }
        const good = await this.#judge(answer, what, absent);
        addTo(this.#answered, reference, host);
        return good;
      }
    });
  }

  /** A good answer, or the error that another is. */
  async #judge(
    answer: Answer,
    what: string,
    absent: 'ERR_IMAGE_NOT_FOUND' | 'ERR_BLOB_NOT_FOUND',
  ): Promise<Answer> {
    const { status } = answer;
    if (status === 200 || status === 206) {
      return answer;
    }
    const detail = await messageOf(answer);
    const text = `${what}: the registry answered ${status}${detail}`;
    if (status === 429) {
      const after = parseRetryAfter(headerOf(answer, 'retry-after'));
      const wait = after === undefined ? '' : `, wait ${Math.ceil(after / 1000)} s`;
      throw new TransientFailure(new UnpackError('ERR_RATE_LIMITED', `${text}${wait}`), after);
    }
    if (status === 408 || (status >= 500 && status !== 501)) {
      const after = parseRetryAfter(headerOf(answer, 'retry-after'));
      throw new TransientFailure(new UnpackError('ERR_REGISTRY', text), after);
    }
    switch (status) {
      case 401:
      case 403:
        throw denied(what, status, detail);
      case 404:
        throw new UnpackError(absent, `${what}: is not in the registry${detail}`);
      case 405:
      case 501:
        throw new UnpackError('ERR_REGISTRY', text, { cause: methodNotAllowed });
      case 416:
        throw new UnpackError('ERR_SIZE_MISMATCH', `${what}: is shorter than its descriptor says`);
      default:
        throw new UnpackError('ERR_REGISTRY', text);
    }
  }

  async #readDocument(answer: Answer, what: string): Promise<Buffer> {
    const length = Number(headerOf(answer, 'content-length') ?? 0);
    const bytes =
      length > maxManifestBytes ? undefined : await readBytes(answer, maxManifestBytes + 1);
    if (bytes === undefined || bytes.length > maxManifestBytes) {
      answer.body.discard();
      const problem = `is longer than ${maxManifestBytes} bytes`;
      throw new UnpackError('ERR_LIMIT_EXCEEDED', `${answer.url.host}: ${what} ${problem}`);
    }
    if (bytes.length < length) {
      const cut = unexpected(answer.url.host, `${what} broke off after ${bytes.length} bytes`);
      throw new TransientFailure(cut);
    }
    return bytes;
  }
}

/** What a host must have, to be asked for a tag or digest. */
function capabilityFor(reference: string): Capability {
  return isDigest(reference) ? 'pull' : 'resolve';
}

function addTo<Key, Value>(sets: Map<Key, Set<Value>>, key: Key, value: Value): void {
  sets.set(key, (sets.get(key) ?? new Set()).add(value));
}

const methodNotAllowed = Symbol('method not allowed');
