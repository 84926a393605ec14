// The python process that reads and changes trees, and mounts (inspector.py), as an object: one process serves any
// number of requests, one after the other.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./inspector.py', import.meta.url));

export interface InspectorRequest {
  op: 'dump' | 'mount' | 'umount' | 'change';
  [key: string]: unknown;
}

interface Pending {
  lines: Record<string, unknown>[];
  resolve: (lines: Record<string, unknown>[]) => void;
  reject: (error: Error) => void;
}

export class Inspector {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #pending: Pending[] = [];
  #errors = '';

  /** `wrapper` is a command that runs the rest of its arguments, e.g. `unshare -Ur`. */
  constructor(wrapper: readonly string[] = []) {
    // Nothing but its own library: what else an installation has takes longer to load than the rest.
    const [command, ...args] = [...wrapper, 'python3', '-I', '-S', script];
    this.#process = spawn(command as string, args, { stdio: 'pipe' });
    this.#process.stderr.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    this.#process.on('error', (error) => this.#fail(error));
    this.#process.on('exit', () => this.#fail(new Error(`the inspector ended: ${this.#errors}`)));
    this.#process.stdin.on('error', () => {});
    createInterface({ input: this.#process.stdout }).on('line', (line) => this.#line(line));
    this.#hold(false);
  }

  /** The answer's lines. */
  request(request: InspectorRequest): Promise<Record<string, unknown>[]> {
    return new Promise((resolve, reject) => {
      this.#hold(true);
      this.#pending.push({ lines: [], resolve, reject });
      this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    });
  }

  close(): void {
    this.#process.stdin.end();
  }

  #line(line: string): void {
    const pending = this.#pending[0];
    if (pending === undefined) {
      return;
    }
    const value = JSON.parse(line) as Record<string, unknown>;
    if (value.end === undefined && value.error === undefined) {
      pending.lines.push(value);
      return;
    }
    this.#pending.shift();
    this.#hold(this.#pending.length > 0);
    if (value.error === undefined) {
      pending.resolve(pending.lines);
    } else {
      pending.reject(new Error(String(value.error)));
    }
  }

  #fail(error: Error): void {
    for (const pending of this.#pending.splice(0)) {
      pending.reject(error);
    }
  }

  // An idle inspector does not keep the process alive.
  #hold(busy: boolean): void {
    const streams = [
      this.#process,
      this.#process.stdin,
      this.#process.stdout,
      this.#process.stderr,
    ];
    for (const handle of streams as { ref?: () => void; unref?: () => void }[]) {
      if (busy) {
        handle.ref?.();
      } else {
        handle.unref?.();
      }
    }
  }
}

let shared: Inspector | undefined;

/** The inspector of this process, started at its first use. */
export function inspector(): Inspector {
  shared ??= new Inspector();
  return shared;
}
