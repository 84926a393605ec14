// Runs the built command as a user does, in a process of its own.

import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';

/** The command's script; the tests' set-up has built it. */
export const commandPath: string = path.resolve(import.meta.dirname, '../../dist/cli/main.js');

export interface CommandResult {
  /** Exit code; null after a signal. */
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface CommandOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Put before the command, e.g. `['setpriv', ...]`. */
  wrapper?: readonly string[];
}

/** A running command. */
export interface RunningCommand {
  process: ChildProcess;
  result: Promise<CommandResult>;
}

export function startCommand(
  args: readonly string[],
  options: CommandOptions = {},
): RunningCommand {
  const [file = process.execPath, ...rest] = [
    ...(options.wrapper ?? []),
    process.execPath,
    commandPath,
    ...args,
  ];
  const child = spawn(file, rest, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  const result = new Promise<CommandResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...output }));
  });
  return { process: child, result };
}

export function runCommand(
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return startCommand(args, options).result;
}
