// `oci-unpack pull REF`.

import { readFile } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { Command } from 'commander';
import { UnpackError } from '../../errors.js';
import type { PullOptions, PullReport, Store } from '../../index.js';
import { formatBytes, formatDuration, plural, printable } from '../../text.js';
import { addUnpackOptions, parseCount } from '../arguments.js';
import { PlainPullView, PullEvents, PullView } from '../pull-view.js';
import type { RunContext } from '../run-context.js';
import { dropFormat, type ImportArguments, reportLines, storeOptions } from './import.js';
import { addUnpackStoreOptions, openStore } from './options.js';

const example = `
Examples:
  $ oci-unpack pull debian:12
  $ oci-unpack pull ghcr.io/owner/app@sha256:… --platform linux/arm64
  $ oci-unpack pull --plain-http 127.0.0.1:5000/app:1 --no-keep-blobs
  $ REGISTRY_AUTH_FILE=./auth.json oci-unpack pull registry.example/app \\
      --ca ./ca.pem --json`;

/** Milliseconds that cleaning up may take after Ctrl-C; what is left then the next use of the store sweeps. */
const farewell = 50;

type PullArguments = ImportArguments & {
  keepBlobs?: boolean;
  parallelRanges?: number;
  downloads?: number;
  plainHttp?: boolean;
  ca?: string[];
  hostsDir?: string[];
  authFile?: string;
  foreignUrls?: boolean;
  stallTimeout?: number;
};

/** The command `pull`. */
export function pullCommand(context: RunContext): Command {
  const list = (value: string, before: string[] = []) => [...before, value];
  const command = new Command('pull')
    .description('pull an image from a registry into the store, unpacking it while it downloads')
    .argument('<image>', '[HOST/]NAME[:TAG][@DIGEST]')
    .option('-n, --name <name>', 'its name in the store (default: the full reference)')
    .option('-p, --platform <platform>', 'os/arch[/variant] (default: of this host)')
    .option('--no-unpack', 'only download it')
    .option('--no-keep-blobs', 'remove the blobs of layers when their snapshots are on the disk')
    .option('--downloads <n>', 'layers that download at once (default: 4)', parseCount(1, 64))
    .option(
      '--parallel-ranges <n>',
      'ranges of one layer at once (default: 1, of a big one that is slow up to 3)',
      parseCount(1, 16),
    )
    .option('--plain-http', 'speak to the registry without TLS')
    .option('--ca <file>', "PEM of an authority to trust beside the system's; repeatable", list)
    .option('--hosts-dir <dir>', 'hosts.toml files (default: /etc/containerd/certs.d)', list)
    .option('--auth-file <file>', 'credentials (default: $REGISTRY_AUTH_FILE, ~/.docker)')
    .option('--foreign-urls', 'also take layers from the URLs that the manifest names')
    .option(
      '--stall-timeout <seconds>',
      'silence after which a connection counts as broken (default: 30)',
      parseCount(1, 3600),
    );
  addUnpackOptions(addUnpackStoreOptions(command));
  dropFormat(command);
  return command
    .addHelpText('after', example)
    .action(async (image: string, given: PullArguments) => {
      await pull(context, image, given);
    });
}

async function pull(context: RunContext, image: string, given: PullArguments): Promise<void> {
  const emit = (event: Record<string, unknown>) => {
    context.stdout.write(`${JSON.stringify(event)}\n`);
  };
  const options = await pullOptions(context, given);
  const store = await openStore(given, 'write');
  // The HTTP client's parser is WebAssembly; V8 would soon compile it anew with all optimizations, which takes longer
  // than the parsing of a whole pull, and 30 MB. Once the pulling is loaded: of code that was compiled under other flags
  // V8 takes nothing.
  await import('../../store/pull-image.js');
  setFlagsFromString('--wasm-tiering-budget=1000000000');
  const view = viewFor(context, given, emit);
  let report: PullReport;
  try {
    report = await store.pull(image, {
      ...options,
      ...(view && { onProgress: (progress) => view.update(progress) }),
    });
  } catch (error) {
    view?.close?.();
    await takeLeave(context, store, error);
    throw error;
  }
  view?.close?.();
  if (given.json) {
    emit({ event: 'done', ...report });
  } else {
    context.print(given, report, () => pullLines(context, report));
  }
  await store.close();
}

/** Closes the store; after Ctrl-C not for long. */
async function takeLeave(context: RunContext, store: Store, error: unknown): Promise<void> {
  const closing = store.close();
  if (!context.signal.aborted) {
    await closing;
    return;
  }
  const timer = setTimeout(() => {
    context.fail(error, process.argv.includes('--json'));
    process.exit(context.stopCode());
  }, farewell);
  await closing.finally(() => clearTimeout(timer));
}

interface View {
  update(progress: Parameters<NonNullable<PullOptions['onProgress']>>[0]): void;
  close?(): void;
}

function viewFor(
  context: RunContext,
  given: PullArguments,
  emit: (event: Record<string, unknown>) => void,
): View | undefined {
  if (given.json) {
    return new PullEvents(emit);
  }
  if (given.quiet) {
    return undefined;
  }
  const region = context.liveRegion(given);
  return region === undefined
    ? new PlainPullView((line) => context.stderr.write(`${line}\n`))
    : new PullView(region);
}

async function pullOptions(context: RunContext, given: PullArguments): Promise<PullOptions> {
  const { ca = [], stallTimeout, hostsDir } = given;
  const { onProgress: _, ...options } = storeOptions(context, given);
  return {
    ...options,
    name: given.name,
    unpack: given.unpack,
    keepBlobs: given.keepBlobs,
    downloads: given.downloads,
    parallelRanges: given.parallelRanges,
    plainHttp: given.plainHttp,
    hostsDirectories: hostsDir,
    authFile: given.authFile,
    foreignUrls: given.foreignUrls,
    stallTimeout: stallTimeout === undefined ? undefined : stallTimeout * 1000,
    ca: await Promise.all(ca.map(readAuthority)),
  };
}

async function readAuthority(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw UnpackError.fromSystem(error, file);
  }
}

function pullLines(context: RunContext, report: PullReport): string[] {
  const lines = reportLines(context, report, 'downloaded');
  const { bytes, resumed } = report.network;
  if (bytes > 0) {
    const speed = `${formatBytes((bytes / report.milliseconds) * 1000)}/s`;
    const again = resumed > 0 ? `, gone on ${plural(resumed, 'time')} after a break` : '';
    lines.push(
      `${formatBytes(bytes)} received in ${formatDuration(report.milliseconds)} (${speed})${again}`,
    );
  }
  for (const host of report.wrongHosts) {
    const warning = `warning: ${printable(host)} answered with other bytes than it was asked for; the next host had the right ones`;
    lines.push(context.style.yellow(warning));
  }
  if (report.blobsDropped > 0) {
    const blobs = plural(report.blobsDropped, 'blob');
    lines.push(`${blobs} not kept: what is lost must be pulled again, and cannot be compared`);
  }
  return lines;
}
