// Running other programs, and the short lines that the scripts print.

import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of this package. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** An error whose message is all that a user needs; no stack is shown. */
export class ScriptError extends Error {}

/** @param {string} text */
export function say(text) {
  process.stdout.write(`${text}\n`);
}

/**
 * The output of a short command, or undefined where it cannot run or fails.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ input?: string }} [options]
 * @returns {string | undefined}
 */
export function outputOf(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', input: options.input ?? '' });
  return result.status === 0 ? result.stdout : undefined;
}

/**
 * The full path of a program on PATH, or undefined.
 * @param {string} name
 */
export function which(name) {
  for (const directory of (process.env.PATH ?? '').split(':')) {
    const path = join(directory || '.', name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {}
  }
  return undefined;
}

/**
 * Runs a command with its output kept back: shown only when it fails, with a ScriptError.
 * @param {string} what said first, e.g. `npm ci`
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<string>} its output
 */
export async function runQuietly(what, command, args, options = {}) {
  const started = performance.now();
  const child = spawn(command, args, {
    cwd: options.cwd ?? root,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject).on('close', resolve);
  }).catch((error) => String(error));
  if (code !== 0) {
    const shown = output.trimEnd().split('\n').slice(-60).join('\n');
    throw new ScriptError(`${shown}\n${what} failed: ${[command, ...args].join(' ')} (${code})`);
  }
  say(`${what}: ${seconds(started)}`);
  return output;
}

/**
 * Runs a command on this terminal; resolves to its exit code (128 + n after signal n).
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<number>}
 */
export async function runHere(command, args, options = {}) {
  const child = spawn(command, args, {
    cwd: options.cwd ?? root,
    env: options.env ?? process.env,
    stdio: 'inherit',
  });
  // Ctrl-C goes to the whole process group: the child decides, and this process reports its code.
  const ignore = () => {};
  process.on('SIGINT', ignore);
  const pass = () => child.kill('SIGTERM');
  process.on('SIGTERM', pass);
  try {
    return await new Promise((resolve, reject) => {
      child
        .on('error', reject)
        .on('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 128 + 15)));
    });
  } finally {
    process.off('SIGINT', ignore);
    process.off('SIGTERM', pass);
  }
}

/**
 * Time since `started`, for people.
 * @param {number} started of performance.now()
 */
export function seconds(started) {
  return `${((performance.now() - started) / 1000).toFixed(1)} s`;
}

/**
 * Runs the body of a script: a ScriptError is shown as its message alone, with exit code 1.
 * @param {() => Promise<number | void>} body
 */
export async function script(body) {
  try {
    process.exitCode = (await body()) ?? 0;
  } catch (error) {
    if (!(error instanceof ScriptError)) {
      throw error;
    }
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
