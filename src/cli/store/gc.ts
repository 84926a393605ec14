// `oci-unpack gc` and `oci-unpack why`.

import { Command } from 'commander';
import type { Reference } from '../../index.js';
import { formatBytes, plural, printable } from '../../text.js';
import { exitFailed, type RunContext } from '../run-context.js';
import { addStoreOptions, type StoreArguments, withStore } from './options.js';
import { shortKey } from './tables.js';

/** The command `gc`. */
export function gcCommand(context: RunContext): Command {
  return addStoreOptions(new Command('gc'))
    .description('remove what no image, container, lease or gc.root label needs')
    .option('--dry-run', 'only say what that would be')
    .addHelpText('after', '\nExample:\n  $ oci-unpack gc --dry-run')
    .action(async (given: StoreArguments & { dryRun?: boolean }) => {
      const { dryRun } = given;
      const report = await withStore(given, dryRun ? 'judge' : 'write', (store) =>
        store.gc({ dryRun }),
      );
      context.print(given, report, () => {
        const { snapshots, content, leases, bytes, orphans } = report;
        const verb = dryRun ? 'would remove' : 'removed';
        const lines = [
          ...snapshots.map(({ key, size }) => `snapshot ${shortKey(key)}  ${formatBytes(size)}`),
          ...content.map(({ digest, size }) => `blob ${shortKey(digest)}  ${formatBytes(size)}`),
          ...leases.map(({ id }) => `lease ${id}`),
        ].map(printable);
        const others = orphans.blobs + orphans.snapshots + orphans.ingests;
        return [
          ...lines,
          `${verb} ${plural(snapshots.length, 'snapshot')}, ${plural(content.length, 'blob')}, ${plural(leases.length, 'expired lease')}: ${formatBytes(bytes)}`,
          ...(others > 0 ? [`and ${plural(others, 'leftover')} of stopped processes`] : []),
        ];
      });
    });
}

/** The command `why`. */
export function whyCommand(context: RunContext): Command {
  return addStoreOptions(new Command('why'))
    .description('say what keeps a snapshot or a blob; exit code 1 when nothing does')
    .argument('<snapshot|blob>', 'key of a snapshot, or digest of a blob')
    .addHelpText('after', '\nExample:\n  $ oci-unpack why sha256:...')
    .action(async (id: string, given: StoreArguments) => {
      const chains = await withStore(given, 'judge', (store) => store.why(id));
      context.print(given, chains, () =>
        chains.length === 0
          ? `nothing keeps ${printable(shortKey(id))}: gc would remove it`
          : chains.map(chainText),
      );
      if (chains.length === 0) {
        process.exitCode = exitFailed;
      }
    });
}

function chainText(chain: readonly Reference[]): string {
  return chain
    .map(({ type, id, namespace, label }, at) => {
      const where = namespace === undefined || namespace === 'default' ? '' : `${namespace}/`;
      const by = label === undefined ? '' : ` (${label.replace('containerd.io/gc.', '')})`;
      const name = `${nouns[type] ?? type} ${where}${shortKey(id)}`;
      return printable(at === 0 ? name : `  ${'  '.repeat(at - 1)}-> ${name}${by}`);
    })
    .join('\n');
}

const nouns: Readonly<Record<string, string>> = {
  images: 'image',
  containers: 'container',
  leases: 'lease',
  content: 'blob',
  'snapshots/overlayfs': 'snapshot',
};
