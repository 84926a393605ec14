// Lets file-system calls of a store fail in their turn: fault-shim.c in a process of its own, which does one operation
// for each message.

import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { SnapshotterKind, StoreDurability } from '../../src/index.js';

/** What fails, and how; the bits as in fault-shim.c. */
export const faultKinds = {
  EIO: { kind: 1, error: 5 },
  ENOSPC: { kind: 2, error: 28 },
  EINTR: { kind: 4, error: 4 },
  EMFILE: { kind: 8, error: 24 },
  EACCES: { kind: 16, error: 13 },
  'short write': { kind: 32, error: 0 },
} as const;

export type FaultName = keyof typeof faultKinds;

/** What the process is told. */
export interface FaultTask {
  operation: string;
  root: string;
  image: string;
  snapshotter: SnapshotterKind;
  durability: StoreDurability;
  /** 0: nothing fails. */
  kind: number;
  error: number;
  /** The call that fails, from 1; 0: none, they are counted. */
  at: number;
  /** All after it fail as well. */
  sticky: boolean;
}

interface ToldError {
  typed: boolean;
  code?: string;
  errno?: string;
  text: string;
}

/** What it tells; `ended` when it did not come to that. */
export interface FaultReport {
  ended?: string;
  error?: ToldError;
  /** Of the same operation once more, without a fault. */
  again?: ToldError;
  /** Descriptors that were not closed. */
  left: string[];
  stray: ToldError[];
  count: number;
  hits: number;
  /** The first call that failed, and of what. */
  call: string;
  path: string;
  /** The library or program that called it. */
  module: string;
  /** The store was open. */
  opened: boolean;
}

const source = path.join(import.meta.dirname, 'fault-shim.c');
const worker = path.join(import.meta.dirname, 'faults-process.mjs');
const stateSize = 712;
/** Milliseconds for one operation, twice. */
const timeLimit = 30_000;

/** Builds the shim into `directory`; undefined where there is no C compiler. */
export function buildShim(directory: string): string | undefined {
  const library = path.join(directory, 'fault-shim.so');
  const flags = ['-shared', '-fPIC', '-O1', '-Wall', '-Wextra', '-Werror'];
  const compiler = process.env.CC ?? 'cc';
  try {
    execFileSync(compiler, ['--version'], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  execFileSync(compiler, [...flags, '-o', library, source, '-ldl'], { stdio: 'inherit' });
  return library;
}

/** The process; started again when it ends. */
export class FaultProcess {
  readonly root: string;
  readonly #state: string;
  readonly #library: string;
  #child: ChildProcess | undefined;
  #roots = 0;

  /** What is below `<directory>/faulty` fails. */
  constructor(directory: string, library: string) {
    this.root = path.join(directory, 'faulty');
    this.#state = path.join(directory, 'state');
    this.#library = library;
    mkdirSync(this.root);
  }

  /** A path for a store that faults reach; another one each time. */
  newRoot(): string {
    this.#roots++;
    return path.join(this.root, String(this.#roots));
  }

  async run(task: FaultTask): Promise<FaultReport> {
    this.#child ??= await this.#start();
    const child = this.#child;
    let opened = false;
    const told = await new Promise<Partial<FaultReport>>((resolve) => {
      const timer = setTimeout(() => {
        resolve({ ended: `not after ${timeLimit} ms` });
        child.kill('SIGKILL');
      }, timeLimit);
      const settle = (report: Partial<FaultReport>) => {
        clearTimeout(timer);
        child.removeAllListeners();
        resolve(report);
      };
      child.on('message', (message: FaultReport | 'opened') => {
        if (message === 'opened') {
          opened = true;
        } else {
          settle(message);
        }
      });
      child.once('exit', (code, signal) => settle({ ended: `by itself: ${code ?? signal}` }));
      child.send(task);
    });
    if (told.ended !== undefined) {
      this.#child = undefined;
    }
    const bytes = readFileSync(this.#state);
    const text = (from: number, to: number) =>
      bytes.toString('utf8', from, to).replace(/\0.*$/s, '');
    const where = { call: text(40, 72), path: text(72, 584), module: text(584, stateSize) };
    return { left: [], stray: [], count: 0, hits: 0, opened, ...told, ...where };
  }

  stop(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  async #start(): Promise<ChildProcess> {
    writeFileSync(this.#state, Buffer.alloc(stateSize));
    const child = fork(worker, {
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: {
        ...process.env,
        LD_PRELOAD: this.#library,
        FAULT_ROOT: this.root,
        FAULT_STATE: this.#state,
        UV_USE_IO_URING: '0', // its calls cannot be seen
        UV_THREADPOOL_SIZE: '1', // the calls of one thread have an order
      },
    });
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve());
      child.once('exit', (code, signal) => reject(new Error(`did not start: ${code ?? signal}`)));
    });
    child.removeAllListeners();
    return child;
  }
}
