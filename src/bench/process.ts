// Runs a command to its end and says what it used: processor time and peak memory of the process and of every
// descendant that was waited for, measured by the bench's native program where that is there.

import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { UnpackError } from '../index.js';
import { packageRoot } from '../package-root.js';
import { nativeTool } from './native-tool.js';

/** The command of this package, as it was built. */
export const commandFile: string = path.join(packageRoot, 'dist/cli/main.js');

/** What a run used. */
export interface Usage {
  /** Milliseconds of processor time in user mode. */
  user: number;
  /** Milliseconds of processor time in the kernel. */
  system: number;
  /** Peak resident memory in bytes; of several processes the largest. */
  maxRss: number;
}

export interface ProcessResult {
  code: number;
  stdout: string;
  stderr: string;
  usage?: Usage;
}

export interface ProcessOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal;
  /** Exit codes that are no failure. Default 0 alone. */
  codes?: readonly number[];
}

/** What a stopped command has for its own clean-up. */
const killMilliseconds = 500;
/** A program that is asked for its version answers at once, or is broken. */
const versionMilliseconds = 10_000;

/** The full path of a program on PATH, or undefined. */
export function which(name: string): string | undefined {
  for (const directory of (process.env.PATH ?? '').split(':')) {
    const file = path.join(directory || '.', name);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) {
        return file;
      }
    } catch {
      // The next one.
    }
  }
  return undefined;
}

/**
 * Runs a command in a process group of its own, which ends as a whole when `signal` fires: by SIGTERM, and what does not
 * heed that by SIGKILL.
 *
 * @throws UnpackError `ERR_IO` with the end of stderr when the exit code is not expected; `ERR_ABORTED`.
 */
export async function runProcess(
  command: string,
  args: readonly string[],
  options: ProcessOptions = {},
): Promise<ProcessResult> {
  const { cwd, env = process.env, signal, codes = [0] } = options;
  signal?.throwIfAborted();
  const tool = nativeTool();
  const child = spawn(
    tool ?? command,
    tool === undefined ? args : ['run', '--', command, ...args],
    { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] },
  );
  let killing: NodeJS.Timeout | undefined;
  const stop = () => {
    killGroup(child.pid, 'SIGTERM');
    killing = setTimeout(() => {
      killGroup(child.pid, 'SIGKILL');
      // Who has left the group may hold the pipes open.
      for (const pipe of child.stdio) {
        pipe?.destroy();
      }
    }, killMilliseconds);
  };
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const [stdout, stderr, report, code] = await Promise.all([
      text(child.stdout as Readable),
      text(child.stderr as Readable),
      text(child.stdio[3] as Readable),
      new Promise<number>((resolve, reject) => {
        child.on('error', reject).on('close', (exit) => resolve(exit ?? 128));
      }),
    ]);
    signal?.throwIfAborted();
    if (!codes.includes(code)) {
      const what = `${path.basename(command)}: exit code ${code}: ${complaintOf(stderr)}`;
      throw new UnpackError('ERR_IO', what);
    }
    return { code, stdout, stderr, ...usageOf(report) };
  } catch (error) {
    if (signal?.aborted) {
      throw new UnpackError('ERR_ABORTED', 'cancelled', { cause: error });
    }
    throw error;
  } finally {
    clearTimeout(killing);
    signal?.removeEventListener('abort', stop);
  }
}

/** Node before 22 parses the whole file that this variable names at every start, before a program's first line. */
const certificatesVariable = 'NODE_EXTRA_CA_CERTS';

/** Whether each start of Node reads authorities that none of the contenders needs: they speak no TLS. */
export function hasExtraCertificates(): boolean {
  return Boolean(process.env[certificatesVariable]);
}

/** Runs a program of Node as {@link runProcess} does, without the authorities of {@link hasExtraCertificates}. */
export function runNode(
  args: readonly string[],
  options: Omit<ProcessOptions, 'env'> = {},
): Promise<ProcessResult> {
  const { [certificatesVariable]: _, ...env } = process.env;
  return runProcess(process.execPath, args, { ...options, env });
}

/**
 * The first line that a program on PATH prints as its version; undefined where there is no such program.
 *
 * @throws UnpackError where it is there and cannot be run: nothing that an installation would mend.
 */
export async function versionOf(
  command: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  if (which(command) === undefined) {
    return undefined;
  }
  const late = AbortSignal.timeout(versionMilliseconds);
  try {
    const { stdout, stderr } = await runProcess(command, ['--version'], {
      signal: signal === undefined ? late : AbortSignal.any([signal, late]),
      codes: [0, 1, 2],
    });
    return (stdout.trim() || stderr.trim()).split('\n', 1)[0];
  } catch (cause) {
    if (late.aborted) {
      const what = `${command} --version: no answer in ${versionMilliseconds / 1000} s`;
      throw new UnpackError('ERR_IO', what, { cause });
    }
    throw cause;
  }
}

/** The line of stderr that says most: the last that speaks of an error, else the last. */
export function complaintOf(stderr: string): string {
  const lines = stderr.trim().split('\n');
  const line = lines.findLast((text) => /error|fatal|cannot|failed/i.test(text)) ?? lines.at(-1);
  return (line ?? '').slice(0, 500);
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) {
      process.kill(-pid, signal);
    }
  } catch {
    // It has ended.
  }
}

async function text(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString();
}

function usageOf(report: string): { usage?: Usage } {
  try {
    const { user, system, maxRss } = JSON.parse(report) as Usage;
    return { usage: { user: user * 1000, system: system * 1000, maxRss } };
  } catch {
    return {};
  }
}
