// What goes wrong between us and a registry, and whether it is worth another try.

import { UnpackError, type UnpackErrorCode } from '../errors.js';

/** A failure that may pass: the connection, 408, 429, 5xx. `error` is what it becomes when it does not. */
export class TransientFailure extends Error {
  readonly error: UnpackError;
  /** Milliseconds that the registry asks to wait (Retry-After). */
  readonly retryAfter: number | undefined;

  constructor(error: UnpackError, retryAfter?: number) {
    super(error.message);
    this.error = error;
    this.retryAfter = retryAfter;
  }
}

/** OpenSSL and Node name what is wrong with a certificate. */
const certificateCodes =
  /^(?:CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|ERR_TLS_|CRL_|INVALID_CA|HOSTNAME_MISMATCH|ERR_OSSL)/;
/** The other side does not speak TLS. */
const protocolCodes = /^(?:EPROTO|ERR_SSL_)/;

/** Makes an error of the HTTP client ours. A TransientFailure where another try may help. */
export function fromTransport(caught: unknown, url: URL): UnpackError | TransientFailure {
  if (caught instanceof UnpackError || caught instanceof TransientFailure) {
    return caught;
  }
  const cause = rootCause(caught);
  const code = codeOf(cause);
  const where = url.host;
  const message = cause instanceof Error && cause.message !== '' ? cause.message : String(cause);
  const make = (ours: UnpackErrorCode, text: string) => new UnpackError(ours, text, { cause });
  // undici has an AbortError of its own, for a proxy that opens no tunnel.
  if (cause instanceof Error && cause.name === 'AbortError' && code !== 'UND_ERR_ABORTED') {
    return make('ERR_ABORTED', 'cancelled');
  }
  if (certificateCodes.test(code)) {
    return make('ERR_TLS', `${where}: ${message} (${code})`);
  }
  if (protocolCodes.test(code)) {
    return make('ERR_TLS', `${where}: does not speak TLS, or not the same (${code})`);
  }
  if (code === 'ENOTFOUND' || code === 'ERR_INVALID_URL' || code === 'UND_ERR_INVALID_ARG') {
    return make('ERR_REGISTRY_UNREACHABLE', `${where}: ${message}`);
  }
  return new TransientFailure(make('ERR_REGISTRY_UNREACHABLE', `${where}: ${message}`));
}

/** An answer that makes no sense, of whatever kind. */
export function unexpected(host: string, problem: string): UnpackError {
  return new UnpackError('ERR_REGISTRY', `${host}: ${problem}`);
}

/** Connecting to several addresses fails with all their errors in one. */
function rootCause(caught: unknown): unknown {
  const { errors, cause, code } = (caught ?? {}) as {
    errors?: unknown[];
    cause?: unknown;
    code?: string;
  };
  if (Array.isArray(errors) && errors.length > 0) {
    return rootCause(errors[0]);
  }
  return code === undefined && cause instanceof Error ? rootCause(cause) : caught;
}

function codeOf(caught: unknown): string {
  const { code } = (caught ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : '';
}
