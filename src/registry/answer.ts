// What the answer of a registry says: its headers, what it has instead of a manifest, and the errors that follow from them.

import { UnpackError } from '../errors.js';
import { isDigest, parseJson } from '../oci/index.js';
import { fromTransport, unexpected } from './failure.js';
import { type Answer, headerOf, readText } from './transport.js';

const somethingElse = Symbol('no manifest');

/** Docker-Content-Digest, where it is there, must be what was asked for, and a digest. */
export function checkContentDigest(answer: Answer, wanted: string | undefined): void {
  const said = headerOf(answer, 'docker-content-digest');
  if (said === undefined) {
    return;
  }
  if (!isDigest(said)) {
    const text = `Docker-Content-Digest ${JSON.stringify(said)} is not a digest`;
    throw unexpected(answer.url.host, text);
  }
  const [algorithm] = said.split(':');
  if (wanted?.startsWith(`${algorithm}:`) && said !== wanted) {
    throw mismatch(answer, wanted, said);
  }
}

export function mismatch(answer: Answer, wanted: string, found: string): UnpackError {
  return new UnpackError(
    'ERR_DIGEST_MISMATCH',
    `${answer.url.host}: answered with ${found}, not with ${wanted}`,
  );
}

/** A page of a server, a proxy or a login in between, in the place of a manifest. */
export function noManifest(answer: Answer, reference: string, length: number): UnpackError {
  const type = headerOf(answer, 'content-type') ?? 'without a content type';
  return new UnpackError(
    'ERR_REGISTRY',
    `${answer.url.host}: manifest ${reference}: the answer is none but ${length} bytes of other content (${type}); look whether a registry is there, and no proxy or login page before it`,
    { cause: somethingElse },
  );
}

/** Whether an error is that of {@link noManifest}: another host may have one. */
export function isNoManifest({ cause }: UnpackError): boolean {
  return cause === somethingElse;
}

/** Whether a document can be a manifest at all. */
export function isObject(bytes: Buffer): boolean {
  try {
    parseJson(bytes, '');
    return true;
  } catch {
    return false;
  }
}

/** Without parameters; undefined where it says nothing about what the content is. */
export function mediaTypeOf(answer: Answer): string | undefined {
  const type = headerOf(answer, 'content-type')?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const vague = ['', 'text/plain', 'application/json', 'application/octet-stream'];
  return vague.includes(type) ? undefined : type;
}

export function denied(what: string, status: number, detail: string): UnpackError {
  const text = detail === '' || detail.startsWith(':') ? detail : `: ${detail}`;
  return new UnpackError('ERR_REGISTRY_AUTH', `${what}: access denied (${status})${text}`);
}

/** What the registry says in its JSON of errors, shortened. */
export async function messageOf(answer: Answer): Promise<string> {
  try {
    const text = await readText(answer);
    const { errors } = JSON.parse(text) as { errors?: { code?: unknown; message?: unknown }[] };
    const { code, message } = errors?.[0] ?? {};
    const parts = [code, message].filter((part) => typeof part === 'string' && part !== '');
    return parts.length === 0 ? '' : `: ${parts.join(': ').slice(0, 300)}`;
  } catch (error) {
    answer.body.discard();
    const failure = fromTransport(error, answer.url);
    if (failure instanceof UnpackError && failure.code === 'ERR_ABORTED') {
      throw failure;
    }
    return '';
  }
}
