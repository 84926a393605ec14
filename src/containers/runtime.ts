// The OCI runtime of the host: found, and run in the foreground.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { constants as fsConstants } from 'node:fs';
import { access, realpath } from 'node:fs/promises';
import { constants } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { UnpackError } from '../errors.js';

/** Runtimes that are looked for, the first choice first. */
export const runtimes = ['runc', 'crun'] as const;

/** What is passed on to the container; what cannot be caught is not. */
const forwarded = [
  'SIGTERM',
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGUSR1',
  'SIGUSR2',
  'SIGCONT',
  'SIGWINCH',
] as const;

/** A terminal sends these to all of its foreground processes by itself. */
const ofTerminal: readonly string[] = ['SIGINT', 'SIGQUIT', 'SIGWINCH', 'SIGHUP', 'SIGCONT'];

/**
 * The path of a runtime.
 *
 * @param name a name to look for, or a path; default `runc`, else `crun`
 * @throws UnpackError `ERR_UNSUPPORTED` where there is none
 */
export async function findRuntime(name?: string): Promise<string> {
  if (name?.includes('/')) {
    return name;
  }
  const directories = [
    ...(process.env.PATH ?? '').split(':'),
    '/usr/local/sbin',
    '/usr/sbin',
    '/sbin',
  ];
  for (const candidate of name === undefined ? runtimes : [name]) {
    for (const directory of directories.filter((one) => path.isAbsolute(one))) {
      const file = path.join(directory, candidate);
      if (await isExecutable(file)) {
        return file;
      }
    }
  }
  const wanted = name ?? runtimes.join(' or ');
  throw new UnpackError(
    'ERR_UNSUPPORTED',
    `${wanted}: is not on this host; install it (apt-get install ${name ?? runtimes[0]}) or give the path of an OCI runtime`,
  );
}

/** How to run a bundle. */
export interface RuntimeRun {
  runtime: string;
  bundle: string;
  id: string;
  /** Pass on the signals that this process gets. */
  forwardSignals: boolean;
  /** Sends SIGTERM, and after ten seconds SIGKILL. */
  signal?: AbortSignal | undefined;
  /** `inherit`, or what spawn takes. */
  stdio: 'inherit' | 'pipe' | 'ignore';
  onStart?: ((child: ChildProcess) => void) | undefined;
}

const killMilliseconds = 10_000;

/** Runs a container in the foreground; resolves to its exit code, 128 + N after signal N. */
export async function runBundle(run: RuntimeRun): Promise<number> {
  const { runtime, bundle, id, signal } = run;
  const child = spawn(runtime, ['run', '--bundle', bundle, id], { stdio: run.stdio });
  const handlers = new Map<NodeJS.Signals, () => void>();
  const isTerminal = process.stdin.isTTY === true;
  if (run.forwardSignals) {
    for (const name of forwarded) {
      const handler = () => {
        if (!(isTerminal && ofTerminal.includes(name))) {
          child.kill(name);
        }
      };
      handlers.set(name, handler);
      process.on(name, handler);
    }
  }
  let timer: NodeJS.Timeout | undefined;
  const stop = () => {
    child.kill('SIGTERM');
    timer = setTimeout(() => void deleteContainer(runtime, bundle, id), killMilliseconds);
  };
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (error) => reject(UnpackError.fromSystem(error, runtime)));
      child.once('close', (code, name) => {
        resolve(code ?? 128 + (name === null ? 0 : constants.signals[name]));
      });
      run.onStart?.(child);
      if (signal?.aborted) {
        stop();
      }
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    for (const [name, handler] of handlers) {
      process.removeListener(name, handler);
    }
  }
}

/**
 * Kills and forgets the container of a bundle, where the runtime still knows it. Its ids are the whole host's: one of
 * another store, namespace or user may have the same, and is left alone.
 */
export async function deleteContainer(runtime: string, bundle: string, id: string): Promise<void> {
  const other = await bundleOf(runtime, id);
  if (other === undefined || (await realPath(other)) === (await realPath(bundle))) {
    await promisify(execFile)(runtime, ['delete', '--force', id]).catch(() => {});
  }
}

/** Of the container that a runtime knows by that id. */
async function bundleOf(runtime: string, id: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(runtime, ['state', id]);
    return (JSON.parse(stdout) as { bundle: string }).bundle;
  } catch {
    return undefined;
  }
}

function realPath(file: string): Promise<string> {
  return realpath(file).catch(() => file);
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, fsConstants.X_OK).then(
    () => true,
    () => false,
  );
}
