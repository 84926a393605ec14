// What a running command has: its streams, its cancel signal, and how results and failures are shown.

import type { WriteStream } from 'node:tty';
import { UnpackError } from '../errors.js';
import { printable } from '../text.js';
import type { OutputOptions } from './arguments.js';
import type { Output } from './output.js';
import type { StopSignals } from './stop-signals.js';
import { LiveRegion, type Style } from './terminal.js';

/** Exit code of a command that did its work and found something wrong. */
export const exitFailed = 1;
/** Exit code of wrong usage. */
export const exitUsage = 2;

/** Errors that say that what was typed is wrong. */
const usageCodes: readonly string[] = ['ERR_INVALID_ARGUMENT', 'ERR_INVALID_REFERENCE'];

export class RunContext {
  /** Fires on SIGINT, SIGTERM and SIGHUP. */
  readonly signal: AbortSignal;
  readonly #output: Output;
  readonly #env: NodeJS.ProcessEnv;
  /** JSON goes to stdout as one event in each line, failures too. */
  eventLines = false;
  /** Leaves the signals to somebody else: they do not cancel any more. */
  readonly releaseSignals: () => void;

  /** The exit code that the signal asks for. */
  readonly stopCode: () => number | undefined;

  constructor(output: Output, env: NodeJS.ProcessEnv, stops: StopSignals) {
    this.releaseSignals = () => stops.close();
    this.stopCode = () => stops.exitCode;
    this.signal = stops.signal;
    this.#output = output;
    this.#env = env;
  }

  get stdout(): NodeJS.WriteStream {
    return this.#output.stdout;
  }

  get stderr(): NodeJS.WriteStream {
    return this.#output.stderr;
  }

  get style(): Style {
    return this.#output.style;
  }

  /** Writes to stdout. */
  write(text: string): void {
    this.#output.write(text);
  }

  /** A region for progress; undefined where nobody watches: not a terminal, `--quiet`, a dumb terminal. */
  liveRegion({ quiet }: OutputOptions): LiveRegion | undefined {
    const watched = this.#output.isErrorTerminal && quiet !== true && this.#env.TERM !== 'dumb';
    return watched ? new LiveRegion(this.stderr as WriteStream) : undefined;
  }

  /** Columns for text on stdout. */
  get columns(): number {
    return this.#output.isTerminal ? Math.max(this.stdout.columns || 80, 40) : 100;
  }

  /** Prints a result: as JSON, as the lines that `text` makes, or nothing with `--quiet`. */
  print(options: OutputOptions, value: unknown, text: () => string | readonly string[]): void {
    if (options.json) {
      this.write(`${JSON.stringify(value, null, 2)}\n`);
    } else if (!options.quiet) {
      const shown = text();
      // Joined with the last line's end: to add it afterwards would copy all of a long list once more.
      this.write(typeof shown === 'string' ? `${shown}\n` : [...shown, ''].join('\n'));
    }
  }

  /** Prints on stderr what should be known though all went well. */
  warn({ quiet }: OutputOptions, message: string): void {
    if (!quiet) {
      const { yellow, bold } = this.#output.errorStyle;
      this.stderr.write(`${yellow(bold('oci-unpack:'))} warning: ${printable(message)}\n`);
    }
  }

  /** Prints a failure on stdout, for who reads JSON there. */
  printJsonError(failure: UnpackError): void {
    const { code, fix, layer, path, syscall, errno, needed, available } = failure;
    const message = printable(failure.message);
    const error = { code, message, fix, layer, path, syscall, errno, needed, available };
    const text = this.eventLines
      ? JSON.stringify({ event: 'error', error })
      : JSON.stringify({ error }, null, 2);
    this.write(`${text}\n`);
  }

  /** Prints a failure, as JSON on stdout too with `--json`; returns the exit code. */
  fail(error: unknown, json: boolean): number {
    const failure = UnpackError.from(error);
    const message = printable(failure.message);
    if (json) {
      this.printJsonError(failure);
    }
    const { red, bold } = this.#output.errorStyle;
    this.stderr.write(`${red(bold('oci-unpack:'))} ${failure.code}: ${message}\n`);
    this.stderr.write(`${bold('fix:')} ${printable(failure.fix)}\n`);
    if (this.#env.OCI_UNPACK_DEBUG && failure.code === 'ERR_INTERNAL') {
      const { cause } = failure;
      this.stderr.write(`${cause instanceof Error ? cause.stack : failure.stack}\n`);
    }
    return usageCodes.includes(failure.code) ? exitUsage : exitFailed;
  }
}
