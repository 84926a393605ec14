// Credentials as Docker and Podman keep them: `auths`, `credHelpers` and `credsStore` of a config.json
// (docs.docker.com/reference/cli/docker/login; containers-auth.json(5)).

import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { UnpackError } from '../errors.js';

/** What proves who we are: a password, or a token that is traded for others. */
export type Credentials =
  | { username: string; password: string }
  | { identityToken: string }
  | { registryToken: string };

/** Where credentials come from. */
export interface CredentialSources {
  /** A file like Docker's config.json; default `$REGISTRY_AUTH_FILE`, else Docker's and Podman's own. */
  authFile?: string | undefined;
  env?: NodeJS.ProcessEnv | undefined;
  /** Ends a helper that is asked. */
  signal?: AbortSignal | undefined;
}

interface AuthFile {
  auths?: Record<string, Record<string, unknown> | null>;
  credHelpers?: Record<string, unknown>;
  credsStore?: unknown;
}

/** Docker's names for its own registry; the first is the one that `docker login` writes. */
const dockerNames = [
  'https://index.docker.io/v1/',
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
];
/** How a helper runs. */
interface HelperProcess {
  env: NodeJS.ProcessEnv;
  signal: AbortSignal | undefined;
}

const helperMilliseconds = 30_000;
/** Characters of an answer; no secret is so long. */
const longestAnswer = 1024 * 1024;
/** Milliseconds that an answer may take after its helper has ended: a child of the helper may keep stdout open for ever. */
const lastWords = 200;

/**
 * The credentials for a repository of `host` (with its port), the entry with the longest path first; undefined
 * for none.
 *
 * @throws UnpackError `ERR_CREDENTIALS` for a file or a helper that cannot be read
 */
export async function findCredentials(
  host: string,
  repository: string,
  { authFile, env = process.env, signal }: CredentialSources = {},
): Promise<Credentials | undefined> {
  for (const file of authFiles(authFile, env)) {
    const config = await readAuthFile(file.path, file.required);
    const found = config && (await lookUp(config, host, repository, file.path, { env, signal }));
    if (found !== undefined) {
      return found;
    }
  }
  return undefined;
}

function authFiles(
  given: string | undefined,
  env: NodeJS.ProcessEnv,
): { path: string; required: boolean }[] {
  const named = given ?? (env.REGISTRY_AUTH_FILE || undefined);
  if (named !== undefined) {
    return [{ path: named, required: given !== undefined }];
  }
  const home = env.HOME || homedir();
  const docker = env.DOCKER_CONFIG || path.join(home, '.docker');
  const files = [path.join(docker, 'config.json')];
  if (env.XDG_RUNTIME_DIR) {
    files.push(path.join(env.XDG_RUNTIME_DIR, 'containers', 'auth.json'));
  }
  return files.map((file) => ({ path: file, required: false }));
}

async function readAuthFile(file: string, required: boolean): Promise<AuthFile | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!required && (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES')) {
      return undefined;
    }
    throw UnpackError.fromSystem(error, file);
  }
  try {
    const json = JSON.parse(text) as AuthFile;
    if (typeof json === 'object' && json !== null) {
      return json;
    }
  } catch {
    // Not with the parser's message, which quotes what may be a secret.
  }
  throw new UnpackError('ERR_CREDENTIALS', `${file}: is not a JSON object`, { path: file });
}

async function lookUp(
  config: AuthFile,
  host: string,
  repository: string,
  file: string,
  process: HelperProcess,
): Promise<Credentials | undefined> {
  const names = isDocker(host) ? dockerNames : [host];
  for (const name of names) {
    const helper = config.credHelpers?.[name];
    if (typeof helper === 'string' && helper !== '') {
      return askHelper(helper, name, process);
    }
  }
  if (typeof config.credsStore === 'string' && config.credsStore !== '') {
    const found = await askHelper(config.credsStore, names[0] ?? host, process);
    if (found !== undefined) {
      return found;
    }
  }
  const entries = new Map(
    Object.entries(config.auths ?? {}).map(([key, entry]) => [plainKey(key), entry]),
  );
  for (const key of keysFor(names, repository)) {
    const entry = entries.get(key);
    const credentials = entry && readEntry(entry, `${file}: auths[${JSON.stringify(key)}]`);
    if (credentials !== undefined && credentials !== null) {
      return credentials;
    }
  }
  return undefined;
}

function isDocker(host: string): boolean {
  return dockerNames.includes(host);
}

/** `host/a/b`, `host/a`, `host`, for each name of the host. */
function keysFor(names: readonly string[], repository: string): string[] {
  const parts = repository.split('/');
  const keys: string[] = [];
  for (let length = parts.length; length >= 0; length--) {
    for (const name of names) {
      keys.push([plainKey(name), ...parts.slice(0, length)].join('/'));
    }
  }
  return keys;
}

/** Old entries are URLs: `https://index.docker.io/v1/` is `index.docker.io`. */
function plainKey(key: string): string {
  const url = /^https?:\/\//.test(key);
  const bare = key.replace(/^https?:\/\//, '').replace(/\/+$/, '');
  return url ? bare.replace(/\/v[12]$/, '') : bare;
}

function readEntry(entry: Record<string, unknown>, where: string): Credentials | undefined {
  const text = (name: string) => (typeof entry[name] === 'string' ? (entry[name] as string) : '');
  if (text('identitytoken') !== '') {
    return { identityToken: text('identitytoken') };
  }
  if (text('registrytoken') !== '') {
    return { registryToken: text('registrytoken') };
  }
  if (text('auth') !== '') {
    const decoded = Buffer.from(text('auth'), 'base64').toString('utf8');
    const colon = decoded.indexOf(':');
    if (colon < 0) {
      throw new UnpackError('ERR_CREDENTIALS', `${where}: auth is not base64 of user:password`);
    }
    // Docker pads with NULs.
    const password = decoded.slice(colon + 1).replace(/\0+$/, '');
    return { username: decoded.slice(0, colon), password };
  }
  if (text('username') !== '') {
    return { username: text('username'), password: text('password') };
  }
  return undefined;
}

/** github.com/docker/docker-credential-helpers: the server on stdin, JSON on stdout. */
async function askHelper(
  name: string,
  server: string,
  { env, signal }: HelperProcess,
): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  const fail = (problem: string): never => {
    throw new UnpackError('ERR_CREDENTIALS', `${program} get (for ${server}): ${problem}`);
  };
  if (!/^[A-Za-z0-9._-]+$/.test(name)) {
    fail('is not the name of a helper');
  }
  const { code, stdout } = await runHelper(program, `${server}\n`, { env, signal }).catch(
    (error: NodeJS.ErrnoException) =>
      fail(error.code === 'ENOENT' ? 'is not on PATH' : error.message),
  );
  if (code !== 0) {
    // By its contract the message is on stdout.
    return /credentials not found/i.test(stdout)
      ? undefined
      : fail(`exit code ${code}: ${stdout.slice(0, 200).trim()}`);
  }
  let answer: { Username?: unknown; Secret?: unknown } | null;
  try {
    answer = JSON.parse(stdout) as typeof answer;
  } catch {
    return fail('did not answer in JSON');
  }
  const { Username: username, Secret: secret } = answer ?? {};
  if (typeof username !== 'string' || typeof secret !== 'string') {
    return fail('has no Username and Secret in its answer');
  }
  if (username === '' && secret === '') {
    return undefined; // how some say that they have none
  }
  return username === '<token>' ? { identityToken: secret } : { username, password: secret };
}

/** Runs a helper to its end, which comes soon whatever it does. */
async function runHelper(
  program: string,
  input: string,
  { env, signal }: HelperProcess,
): Promise<{ code: number | null; stdout: string }> {
  const { spawn } = await import('node:child_process'); // which most pulls need not load
  return await new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], { env, stdio: ['pipe', 'pipe', 'ignore'] });
    let stdout = '';
    const end = (settle: () => void) => {
      for (const timer of timers) {
        clearTimeout(timer);
      }
      signal?.removeEventListener('abort', onAbort);
      child.stdout.destroy();
      settle();
    };
    const stop = (problem: string) => {
      child.kill('SIGKILL');
      end(() => reject(new Error(problem)));
    };
    const onAbort = () => stop('was stopped');
    const late = `has not answered within ${helperMilliseconds / 1000} s`;
    const timers = [setTimeout(stop, helperMilliseconds, late)];
    signal?.addEventListener('abort', onAbort, { once: true });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (stdout.length > longestAnswer) {
        stop('answers without an end');
      }
    });
    child.on('error', (error) => end(() => reject(error)));
    const finish = (code: number | null) => end(() => resolve({ code, stdout }));
    child.on('exit', (code) => timers.push(setTimeout(finish, lastWords, code)));
    child.on('close', finish);
    child.stdin.on('error', () => undefined); // it may end without reading
    child.stdin.end(input);
    if (signal?.aborted) {
      onAbort();
    }
  });
}
