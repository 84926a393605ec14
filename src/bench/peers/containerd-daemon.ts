// A containerd of the bench's own: private root, state and socket, no CRI, nothing of the host's touched.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnpackError } from '../../index.js';
import { type ProcessResult, runProcess, type Usage } from '../process.js';

/** What is switched off: it is not needed, and some of it looks at the host. */
const disabled = [
  'io.containerd.grpc.v1.cri',
  'io.containerd.cri.v1.images',
  'io.containerd.cri.v1.runtime',
  'io.containerd.internal.v1.restart',
  'io.containerd.internal.v1.opt',
  'io.containerd.nri.v1.nri',
  'io.containerd.tracing.processor.v1.otlp',
  'io.containerd.snapshotter.v1.aufs',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.zfs',
  'io.containerd.snapshotter.v1.erofs',
  'io.containerd.snapshotter.v1.blockfile',
];

/** The setting of the transfer service, which newer versions have. */
export const parallelOption = 'max_concurrent_unpacks';

const startMilliseconds = 20_000;
const stopMilliseconds = 10_000;

/** Named from its directory: with a long path in front it would exceed the 107 bytes of a socket's name (unix(7)). */
const socket = 'containerd.sock';
const globalOptions = ['--address', socket, '--namespace', 'bench'];

/** How a daemon is started. */
export interface DaemonOptions {
  /** How many layers its transfer service unpacks at once, where the version can. */
  unpacks?: number | undefined;
  /** A command that becomes the rest of its arguments, e.g. `unshare -Urm`. */
  wrapper?: readonly string[];
  signal?: AbortSignal | undefined;
}

export class ContainerdDaemon {
  readonly #child: ChildProcess;
  readonly home: string;
  #log = '';

  private constructor(child: ChildProcess, home: string) {
    this.#child = child;
    this.home = home;
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#log = (this.#log + chunk.toString()).slice(-8192);
    });
  }

  /** Starts one that keeps everything in `root`; `home` gets its socket and state. */
  static async start(
    root: string,
    home: string,
    { unpacks, wrapper = [], signal }: DaemonOptions = {},
  ): Promise<ContainerdDaemon> {
    await mkdir(root, { recursive: true });
    const config = path.join(home, 'config.toml');
    const plugins = disabled.map((name) => `"${name}"`).join(', ');
    const transfer =
      unpacks === undefined
        ? ''
        : `[plugins."io.containerd.transfer.v1.local"]\n  ${parallelOption} = ${unpacks}\n`;
    await writeFile(config, `version = 2\ndisabled_plugins = [${plugins}]\n${transfer}`);
    const args = ['--config', config, '--root', root, '--state', path.join(home, 'state')];
    const command = [...wrapper, 'containerd', ...args];
    const [file = '', ...rest] = [...command, '--address', socket, '--log-level', 'error'];
    const child = spawn(file, rest, {
      cwd: home,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const daemon = new ContainerdDaemon(child, home);
    await daemon.#ready(signal);
    return daemon;
  }

  /** Of the daemon's process. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  async #ready(signal: AbortSignal | undefined): Promise<void> {
    const late = AbortSignal.timeout(startMilliseconds);
    const stopped = signal === undefined ? late : AbortSignal.any([signal, late]);
    let failed: unknown;
    this.#child.once('error', (error) => {
      failed = error;
    });
    try {
      while (failed === undefined && this.#running) {
        const { code } = await this.ctr(['version'], { signal: stopped, codes: [0, 1] });
        if (code === 0) {
          return;
        }
        await sleep(50);
      }
    } catch (error) {
      failed = late.aborted ? undefined : error;
    }
    await this.stop();
    signal?.throwIfAborted();
    const why = failed instanceof Error ? failed.message : this.#log.trim().split('\n').at(-1);
    throw new UnpackError('ERR_UNSUPPORTED', `containerd did not start: ${why ?? 'no message'}`);
  }

  /** Runs `ctr` against this daemon. */
  ctr(
    args: readonly string[],
    options: { signal?: AbortSignal; codes?: readonly number[] } = {},
  ): Promise<ProcessResult> {
    return runProcess('ctr', [...globalOptions, ...args], { ...options, cwd: this.home });
  }

  /** What {@link ctr} runs, for a shell in the directory {@link home}. */
  readonly client: string = `ctr ${globalOptions.join(' ')}`;

  /** The socket's full path. */
  get socket(): string {
    return path.join(this.home, socket);
  }

  /** What the daemon, with the helpers that it waited for, has used so far; {@link resetPeak} starts the peak anew. */
  async usage(): Promise<Usage> {
    const pid = this.#child.pid;
    const [stat, status] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/status`, 'utf8'),
    ]);
    // proc(5): after the name in parentheses, utime, stime, cutime and cstime are fields 14 to 17, in ticks of 10 ms.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = (field: number) => Number(fields[field - 3]) * 10;
    const peak = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
    return { user: ticks(14) + ticks(16), system: ticks(15) + ticks(17), maxRss: peak };
  }

  async resetPeak(): Promise<void> {
    await writeFile(`/proc/${this.#child.pid}/clear_refs`, '5'); // proc(5)
  }

  get #running(): boolean {
    const { pid, exitCode, signalCode } = this.#child;
    return pid !== undefined && exitCode === null && signalCode === null;
  }

  /** Ends the daemon and waits for its end. */
  async stop(): Promise<void> {
    if (!this.#running) {
      return;
    }
    const ended = new Promise((resolve) => {
      this.#child.once('exit', resolve);
    });
    this.#child.kill('SIGTERM');
    // A timer that nobody needs any more must not keep this process.
    const late = sleep(stopMilliseconds, false, { ref: false });
    const stopped = await Promise.race([ended.then(() => true), late]);
    if (!stopped) {
      this.#child.kill('SIGKILL');
      await ended;
    }
  }
}
