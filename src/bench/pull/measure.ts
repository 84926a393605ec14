// `bench --registry`: a download alone, an unpack alone, a pull, and containerd's pull, from a registry that is throttled on
// the loopback interface. Each run is a process of its own with an empty store.

import { cp, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError, type UnpackErrorCode, version } from '../../index.js';
import { removeTree, syncFileSystemOf } from '../../native/index.js';
import { describeHost } from '../host.js';
import { ContainerdDaemon } from '../peers/containerd-daemon.js';
import { commandFile, runNode, runProcess, versionOf, which } from '../process.js';
import { inRoundOrder } from '../round-order.js';
import { withScratch } from '../scratch.js';
import {
  type PullBenchReport,
  type PullResult,
  type PullRow,
  type PullSample,
  summary,
} from './result.js';
import { startThrottle, type Throttle } from './throttle.js';

/** Options of {@link runPullBench}. */
export interface PullBenchOptions {
  /** `http://HOST:PORT`, or with the path of an image. */
  registry: string;
  /** `NAME[:TAG]` in the registry; none: all that it has. */
  images?: readonly string[];
  /** Mbit/s; 0 is as fast as it goes. Default 1000 and 200. */
  rates?: readonly number[];
  directory?: string | undefined;
  runs?: number | undefined;
  /** Without containerd. */
  alone?: boolean | undefined;
  signal?: AbortSignal | undefined;
  onStep?: ((text: string) => void) | undefined;
}

/** Measures; see {@link PullBenchOptions}. */
export async function runPullBench(options: PullBenchOptions): Promise<PullBenchReport> {
  const { rates = [1000, 200], runs = 5, directory, signal } = options;
  const url = registryURL(options.registry);
  const named = [
    ...(options.images ?? []),
    ...(url.pathname === '/' ? [] : [url.pathname.replace(/^\/|\/$/g, '')]),
  ];
  const images = named.length > 0 ? named : await catalog(url, signal);
  return withScratch(directory, signal, async (scratch) => {
    const host = describeHost(scratch);
    const results: PullResult[] = [];
    for (const image of images) {
      results.push(...(await new PullBench(scratch, url, image, runs, options).run(rates)));
    }
    const date = new Date().toISOString();
    const kind = 'oci-unpack-bench-registry';
    return { kind, schema: 1, version, date, host, registry: url.origin, runs, results };
  });
}

class PullBench {
  readonly #scratch: string;
  readonly #url: URL;
  readonly #image: string;
  readonly #runs: number;
  readonly #options: PullBenchOptions;
  readonly #prepared: string;

  constructor(scratch: string, url: URL, image: string, runs: number, options: PullBenchOptions) {
    this.#scratch = scratch;
    this.#url = url;
    this.#image = image.includes(':') ? image : `${image}:latest`;
    this.#runs = runs;
    this.#options = options;
    this.#prepared = path.join(scratch, 'prepared');
  }

  async run(rates: readonly number[]): Promise<PullResult[]> {
    this.#step('getting the blobs for the unpack alone');
    const args = ['--no-unpack', '--name', 'bench:1'];
    const { report } = await this.#pull(this.#url.host, this.#prepared, args);
    const { manifestDigest, blobs } = report;
    try {
      // Once as a trial, which warms the page cache, and tells what is there.
      const { report: whole } = await this.#unpack();
      const results: PullResult[] = [];
      for (const rate of rates) {
        const rows = await this.#measure(rate);
        results.push({
          reference: `${this.#url.host}/${this.#image}`,
          manifestDigest,
          layers: whole.layers.length,
          size: blobs.bytesWritten,
          rate,
          ...summary(rows),
        });
      }
      return results;
    } finally {
      await removeTree(this.#prepared);
    }
  }

  /** In turns, so that a slow minute of the host hits all. */
  async #measure(rate: number): Promise<PullRow[]> {
    const { hostname, port, host } = this.#url;
    const target = { host: hostname, port: Number(port || 80) };
    const throttle =
      rate === 0 ? undefined : await startThrottle(target, (rate * 1e6) / 8, this.#scratch);
    const rows: PullRow[] = [
      { id: 'download', version, samples: [] },
      { id: 'unpack', version, samples: [] },
      { id: 'pull', version, samples: [] },
      { id: 'containerd', samples: [] },
    ];
    await this.#lookForContainerd(rows[3] as PullRow);
    try {
      for (let run = 0; run < this.#runs; run++) {
        const measured = rows.filter(({ reason }) => reason === undefined);
        for (const row of inRoundOrder(measured, run)) {
          const speed = rate === 0 ? '' : ` at ${rate} Mbit/s`;
          this.#step(`run ${run + 1} of ${this.#runs}${speed}: ${row.id}`);
          await this.#timed(row, throttle?.host ?? host, throttle);
        }
      }
    } finally {
      await throttle?.close();
    }
    return rows;
  }

  async #lookForContainerd(row: PullRow): Promise<void> {
    if (this.#options.alone) {
      row.reason = 'not asked for';
    } else if ([which('ctr'), which('containerd')].includes(undefined)) {
      row.reason = 'containerd is not installed (apt-get install containerd)';
    } else if (process.geteuid?.() !== 0) {
      row.reason = 'it needs root';
    } else {
      const helper = ['igzip', 'unpigz'].find((name) => which(name) !== undefined);
      try {
        const found = await versionOf('containerd', this.#options.signal);
        row.version = `${found}, ${helper ?? 'no igzip or unpigz'} on PATH`;
      } catch (error) {
        this.#options.signal?.throwIfAborted();
        row.reason = error instanceof Error ? error.message : String(error);
      }
    }
  }

  async #timed(row: PullRow, host: string, throttle: Throttle | undefined): Promise<void> {
    const root = path.join(this.#scratch, 'run');
    try {
      await throttle?.firstByte(); // what came for the last run is forgotten
      const { sample, started } = await this.#run(row.id, host, root);
      const first = await throttle?.firstByte();
      row.samples.push({
        ...sample,
        ...(first !== undefined && { fromFirstByte: started + sample.wall - first }),
      });
    } catch (error) {
      if (row.id !== 'containerd' || this.#options.signal?.aborted) {
        throw error;
      }
      row.reason = error instanceof Error ? error.message : String(error);
      row.samples = [];
    } finally {
      await removeTree(root);
      // What was written and removed reaches the disk now: the next one must not pay for it.
      await syncFileSystemOf(this.#scratch);
    }
  }

  async #run(id: PullRow['id'], host: string, root: string): Promise<Run> {
    switch (id) {
      case 'download':
        return this.#pull(host, root, ['--no-unpack']);
      case 'pull':
        return this.#pull(host, root, []);
      case 'unpack': {
        const { sample, started, report } = await this.#unpack();
        return { sample: { ...sample, call: report.milliseconds }, started };
      }
      default:
        return this.#containerd(host, root);
    }
  }

  async #pull(host: string, root: string, more: readonly string[]) {
    const reference = `${host}/${this.#image}`;
    return this.#command(['pull', '--plain-http', reference, '--root', root, ...more]);
  }

  /** From a store that has the blobs: they are linked, and all else is copied. */
  async #unpack() {
    const root = path.join(this.#scratch, 'unpack');
    const { signal } = this.#options;
    await mkdir(root, { recursive: true });
    try {
      await cp(path.join(this.#prepared, 'metadata'), path.join(root, 'metadata'), {
        recursive: true,
      });
      await runProcess('cp', ['-al', path.join(this.#prepared, 'blobs'), root], { signal });
      return await this.#command(['images', 'unpack', 'bench:1', '--root', root]);
    } finally {
      await removeTree(root);
    }
  }

  async #command(args: readonly string[]): Promise<Run & { report: CommandReport }> {
    const { signal } = this.#options;
    const started = now();
    const { code, stdout, stderr, usage } = await runNode(
      [commandFile, ...args, '--json', '--durability', 'none'],
      { signal, codes: [0, 1, 2] },
    );
    const wall = now() - started;
    if (code !== 0) {
      throw failureOf(stdout, stderr);
    }
    const text = args[0] === 'pull' ? (stdout.trim().split('\n').at(-1) ?? '') : stdout;
    return { sample: { wall, ...usage }, started, report: JSON.parse(text) as CommandReport };
  }

  async #containerd(host: string, root: string): Promise<Run> {
    const home = path.join(this.#scratch, 'containerd');
    await mkdir(home, { recursive: true });
    const { signal } = this.#options;
    const daemon = await ContainerdDaemon.start(root, home, { signal });
    try {
      await daemon.resetPeak();
      const before = await daemon.usage();
      const started = now();
      const args = ['images', 'pull', '--plain-http', `${host}/${this.#image}`];
      const client = await daemon.ctr(args, { signal });
      const wall = now() - started;
      const after = await daemon.usage();
      const sample = {
        wall,
        user: after.user - before.user + (client.usage?.user ?? 0),
        system: after.system - before.system + (client.usage?.system ?? 0),
        maxRss: Math.max(after.maxRss, client.usage?.maxRss ?? 0),
      };
      return { sample, started };
    } finally {
      await daemon.stop();
      await removeTree(home);
    }
  }

  #step(text: string): void {
    this.#options.onStep?.(`${this.#image}: ${text}`);
  }
}

/** A run, and when it began by {@link now}. */
interface Run {
  sample: PullSample;
  started: number;
}

/** Milliseconds of the clock that the throttle tells its times by. */
function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

interface CommandReport {
  manifestDigest: string;
  layers: unknown[];
  blobs: { bytesWritten: number };
  milliseconds: number;
}

function failureOf(stdout: string, stderr: string): UnpackError {
  try {
    const line = stdout.trim().split('\n').at(-1) ?? '';
    const { error } = JSON.parse(line.startsWith('{"') ? line : stdout) as {
      error: { code: UnpackErrorCode; message: string };
    };
    return new UnpackError(error.code, error.message);
  } catch {
    return new UnpackError('ERR_INTERNAL', stderr.trim() || 'oci-unpack failed without a message');
  }
}

function registryURL(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:') {
    throw new UnpackError(
      'ERR_INVALID_ARGUMENT',
      `--registry: ${JSON.stringify(text)} is not http://HOST:PORT; TLS would pass through no throttle`,
    );
  }
  if (url.username !== '' || url.password !== '') {
    const what = `--registry: ${url.host}: credentials are for that host, and would not pass through the throttle`;
    throw new UnpackError('ERR_INVALID_ARGUMENT', what);
  }
  return url;
}

/** The images of a registry: of each repository its first tag (distribution-spec, "Content Discovery"). */
async function catalog(url: URL, signal: AbortSignal | undefined): Promise<string[]> {
  const get = async (path: string) => {
    try {
      const answer = await fetch(new URL(path, url), signal === undefined ? {} : { signal });
      if (answer.status === 401 || answer.status === 403) {
        throw new UnpackError(
          'ERR_REGISTRY_AUTH',
          `${url.host}: ${path}: denied (${answer.status})`,
        );
      }
      return (await answer.json()) as { repositories?: string[]; tags?: string[] };
    } catch (cause) {
      if (signal?.aborted) {
        throw new UnpackError('ERR_ABORTED', 'cancelled', { cause });
      }
      if (cause instanceof UnpackError) {
        throw cause;
      }
      throw new UnpackError('ERR_REGISTRY_UNREACHABLE', `${url.host}: ${String(cause)}`, { cause });
    }
  };
  const { repositories = [] } = await get('/v2/_catalog');
  const images: string[] = [];
  for (const name of repositories) {
    const { tags } = await get(`/v2/${name}/tags/list`);
    if (tags?.[0] !== undefined) {
      images.push(`${name}:${tags[0]}`);
    }
  }
  if (images.length === 0) {
    throw new UnpackError('ERR_IMAGE_NOT_FOUND', `${url.host}: lists no image; name one`);
  }
  return images;
}
