// stdout and stderr of the command. Node's streams are made when something is written by them: to load them takes 3 ms for
// a file and 6 for a pipe, as long as many a command.

import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { type Style, styleFor } from './terminal.js';

export class Output {
  /** Whether stdout, and stderr, is a terminal. */
  readonly isTerminal: boolean;
  readonly isErrorTerminal: boolean;
  readonly style: Style;
  readonly errorStyle: Style;
  readonly #process: NodeJS.Process;
  #stdout: NodeJS.WriteStream | undefined;
  #stderr: NodeJS.WriteStream | undefined;

  constructor(process: NodeJS.Process) {
    this.#process = process;
    // /dev/null is a device too, whose stream has no isTTY.
    this.isTerminal = isDevice(1) && this.stdout.isTTY === true;
    this.isErrorTerminal = isDevice(2) && this.stderr.isTTY === true;
    this.style = styleFor(this.isTerminal, process.env);
    this.errorStyle = styleFor(this.isErrorTerminal, process.env);
  }

  get stdout(): NodeJS.WriteStream {
    this.#stdout ??= this.#process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      this.#failed(error, () =>
        this.stderr.write(`oci-unpack: ERR_IO: stdout: ${error.message}\n`),
      );
    });
    return this.#stdout;
  }

  get stderr(): NodeJS.WriteStream {
    this.#stderr ??= this.#process.stderr.on('error', (error: NodeJS.ErrnoException) => {
      this.#failed(error);
    });
    return this.#stderr;
  }

  /** Writes to stdout: what can be written at once without the stream, if nothing has needed that yet. */
  write(text: string): void {
    const bytes = Buffer.from(text);
    const written = this.#stdout === undefined ? writeAtOnce(bytes) : 0;
    if (written < bytes.length) {
      this.stdout.write(bytes.subarray(written));
    }
  }

  /** Whether the streams have nothing left that a pipe has not taken yet. */
  get isWritten(): boolean {
    return !this.#stdout?.writableLength && !this.#stderr?.writableLength;
  }

  /** A reader that has seen enough (`| head`) is no failure; a full disk behind stdout is. */
  #failed(error: NodeJS.ErrnoException, tell?: () => void): void {
    if (error.code !== 'EPIPE') {
      this.#process.exitCode = 1;
      tell?.();
    }
  }
}

function isDevice(fd: number): boolean {
  return fstatSync(fd).isCharacterDevice();
}

/** How long a reader may take nothing until the stream waits for it: most take what comes at once. */
const patienceMilliseconds = 10;

/**
 * Writes to stdout if it is a file or a pipe, and tells how many bytes. Does not wait for a slow reader, since signals
 * would have to wait too; nor does it tell errors: the stream gets what is left, and meets them again.
 */
function writeAtOnce(bytes: Buffer): number {
  let pipe: number | undefined;
  try {
    const stdout = fstatSync(1);
    if (stdout.isFIFO()) {
      // A description of our own: others may share that of stdout, and would see that it does not wait any more.
      pipe = openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
    } else if (!stdout.isFile()) {
      return 0;
    }
    return writeWhilePatient(pipe ?? 1, bytes);
  } catch {
    return 0; // a pipe that cannot be opened again
  } finally {
    if (pipe !== undefined) {
      closeSync(pipe);
    }
  }
}

function writeWhilePatient(fd: number, bytes: Buffer): number {
  const never = new Int32Array(new SharedArrayBuffer(4)); // which nobody wakes
  let written = 0;
  let progress = performance.now();
  while (written < bytes.length) {
    try {
      written += writeSync(fd, bytes, written);
      progress = performance.now();
    } catch (error) {
      const waited = performance.now() - progress;
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || waited > patienceMilliseconds) {
        break;
      }
      Atomics.wait(never, 0, 0, 0.1);
    }
  }
  return written;
}
