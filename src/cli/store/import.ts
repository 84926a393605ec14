// `oci-unpack import IMAGE` and `oci-unpack images unpack IMAGE`.

import { Command, type Option } from 'commander';
import type { ImportOptions, Store, StoreReport } from '../../index.js';
import {
  formatBytes,
  formatCount,
  formatDuration,
  plural,
  printable,
  shortDigest,
} from '../../text.js';
import { addUnpackOptions, type UnpackArguments, unpackOptions } from '../arguments.js';
import type { RunContext } from '../run-context.js';
import { warningLines } from '../warnings-summary.js';
import { addUnpackStoreOptions, type StoreArguments, withStore } from './options.js';
import { listing, shortKey } from './tables.js';

const example = `
Examples:
  $ oci-unpack import oci:./image:latest
  $ oci-unpack import docker-archive:./image.tar --name web:1 --no-unpack
  $ oci-unpack import containerd:docker.io/library/debian:12
  $ oci-unpack run image:latest`;

/** Arguments of the commands that import. */
export type ImportArguments = UnpackArguments &
  StoreArguments & { name?: string; unpack?: boolean; platform?: string };

/** The command `import`. */
export function importCommand(context: RunContext): Command {
  const command = new Command('import')
    .description('copy an image into the store and unpack it into snapshots')
    .argument(
      '<image>',
      'oci:PATH[:TAG], oci-archive:PATH[:TAG], docker-archive:PATH[:NAME] or containerd:NAME',
    )
    .option('-n, --name <name>', 'its name in the store (default: as its source calls it)')
    .option('-p, --platform <platform>', 'os/arch[/variant] (default: of this host)')
    .option('--no-unpack', 'only copy it');
  addUnpackOptions(addUnpackStoreOptions(command));
  dropFormat(command);
  return command
    .addHelpText('after', example)
    .action(async (image: string, given: ImportArguments) => {
      await withStore(given, 'write', async (store) => {
        const report = await importInto(context, store, image, given);
        printReport(context, report, given);
      });
    });
}

/** The command `images unpack`. */
export function unpackStoredCommand(context: RunContext): Command {
  const command = new Command('unpack')
    .description('unpack an image of the store into snapshots; layers that are there stay')
    .argument('<image>', 'a name, or the beginning of its digest')
    .option('-p, --platform <platform>', 'os/arch[/variant] (default: as imported)');
  addUnpackOptions(addUnpackStoreOptions(command));
  dropFormat(command);
  return command
    .addHelpText('after', '\nExample:\n  $ oci-unpack images unpack debian:latest')
    .action(async (image: string, given: ImportArguments) => {
      await withStore(given, 'write', async (store) => {
        const report = await watched(context, given, (onProgress) =>
          store.unpack(image, { ...storeOptions(context, given), onProgress }),
        );
        printReport(context, report, given);
      });
    });
}

/** Whether the text names an image outside of the store. */
export function isReference(image: string): boolean {
  return /^(?:oci|oci-archive|docker-archive|containerd):/.test(image) || /^\.{0,2}\//.test(image);
}

/** The name in the store of an image that is named there, or imported now. */
export async function storedName(
  context: RunContext,
  store: Store,
  image: string,
  given: ImportArguments,
): Promise<string> {
  return isReference(image) ? (await importInto(context, store, image, given)).name : image;
}

function importInto(
  context: RunContext,
  store: Store,
  image: string,
  given: ImportArguments,
): Promise<StoreReport> {
  return watched(context, given, (onProgress) =>
    store.import(image, {
      ...storeOptions(context, given),
      name: given.name,
      unpack: given.unpack,
      onProgress,
    }),
  );
}

/** The library's options out of parsed arguments. */
export function storeOptions(context: RunContext, given: ImportArguments) {
  const { format: _, policies, ...options } = unpackOptions(given);
  return { ...options, policies: chosenPolicies(policies ?? {}), signal: context.signal };
}

/** The store has defaults of its own for users without rights: only what was typed differs from the command's. */
function chosenPolicies(policies: NonNullable<ImportOptions['policies']>) {
  const defaults = { ownership: 'apply', devices: 'create', xattrs: 'strict' } as const;
  const chosen = { ...policies };
  for (const [name, value] of Object.entries(defaults)) {
    if (chosen[name as keyof typeof defaults] === value) {
      delete chosen[name as keyof typeof defaults];
    }
  }
  return chosen;
}

async function watched<T>(
  context: RunContext,
  given: StoreArguments,
  work: (onProgress: ImportOptions['onProgress']) => Promise<T>,
): Promise<T> {
  const region = context.liveRegion(given);
  const view = region && new (await import('../progress-view.js')).ProgressView(region);
  try {
    return await work(view && ((progress) => view.update(progress)));
  } finally {
    view?.close();
  }
}

function printReport(context: RunContext, report: StoreReport, given: StoreArguments): void {
  context.print(given, report, () => reportLines(context, report));
}

/** The report for people. @param verb what has become of the blobs */
export function reportLines(context: RunContext, report: StoreReport, verb = 'copied'): string[] {
  const { style, columns } = context;
  const lines = [
    `${style.bold(printable(report.name))} (${report.platform}, ${shortDigest(report.targetDigest)})`,
  ];
  if (report.layers.length > 0) {
    lines.push(
      listing(context, report.layers, [
        { head: 'LAYER', text: (_, index) => String(index), align: '>' },
        { head: 'SNAPSHOT', text: ({ chainID }) => shortDigest(chainID) },
        { head: 'BLOB', text: ({ size }) => formatBytes(size), align: '>' },
        {
          head: 'TAR',
          text: ({ uncompressedSize: size }) => (size === undefined ? '' : formatBytes(size)),
          align: '>',
        },
        {
          head: 'ENTRIES',
          text: ({ counts }) => (counts === undefined ? '' : formatCount(counts.entries)),
          align: '>',
        },
        { head: '', text: ({ status }) => (status === 'present' ? 'there' : '') },
      ]),
    );
  }
  const made = report.layers.filter(({ status }) => status === 'unpacked').length;
  const { written, bytesWritten } = report.blobs;
  lines.push(
    `${plural(written, 'blob')} ${verb} (${formatBytes(bytesWritten)}), ${plural(made, 'layer')} unpacked in ${formatDuration(report.milliseconds)}`,
  );
  if (report.snapshot !== '') {
    lines.push(`snapshot ${shortKey(report.snapshot)} (${report.snapshotter})`);
  }
  if (report.warnings.length > 0) {
    lines.push(style.yellow(`${plural(report.warnings.length, 'warning')}:`));
    lines.push(...warningLines(report.warnings, columns).map((line) => `  ${line}`));
  }
  return lines;
}

/** The kind of snapshotter says the format. */
export function dropFormat(command: Command): void {
  const options = command.options as Option[];
  const at = options.findIndex(({ long }) => long === '--format');
  if (at >= 0) {
    options.splice(at, 1);
  }
}
