// `oci-unpack verify`: compares unpacked layers with what they came from, in the own store or, reading only, a containerd's.

import { Command } from 'commander';
import { UnpackError } from '../../errors.js';
import type { VerifyProgress, VerifyReport } from '../../index.js';
import type { SnapshotAudit } from '../../verify/types.js';
import { exitFailed, type RunContext } from '../run-context.js';
import { formatBytes, formatCount, formatDuration, plural, printable, wrap } from '../text.js';
import { addStoreOptions, type StoreArguments, withStore } from './options.js';
import { shortKey } from './tables.js';

interface VerifyArguments extends StoreArguments {
  all?: boolean;
  deep?: boolean;
  repair?: boolean;
  dryRun?: boolean;
  containerd?: string | true;
  repairScript?: boolean;
}

const example = `
Examples:
  $ oci-unpack verify --all
  $ oci-unpack verify debian:latest --deep
  $ oci-unpack verify debian:latest --repair --dry-run
  $ oci-unpack verify --containerd /var/lib/containerd --json
  $ oci-unpack verify --containerd --repair-script > repair.sh`;

/** Findings of a snapshot that the text lists; the JSON has all. */
const mostListed = 20;
const hiddenListed = 5;

/** The command `verify`. */
export function verifyCommand(context: RunContext): Command {
  return addStoreOptions(new Command('verify'))
    .description('find files that unpacked images lost or that changed, and repair them')
    .argument('[image...]', 'names in the store (default: all that is unpacked)')
    .option('--all', 'every unpacked layer of the store, which is the default')
    .option('--deep', 'read the blobs again, whose sha256 is the proof, not the manifests')
    .option('--repair', 'unpack damaged layers anew and swap them in')
    .option('--dry-run', 'with --repair: only say what would be done')
    .option('--containerd [root]', "a containerd's store, read only (default: /var/lib/containerd)")
    .option('--repair-script', 'with --containerd: print a shell script that repairs')
    .addHelpText('after', `${example}\n\nExit code 1 when something is damaged.`)
    .action(async (images: string[], given: VerifyArguments) => {
      checkUsage(images, given);
      const live = given.json ? undefined : context.liveRegion(given);
      const onProgress = live && ((progress: VerifyProgress) => live.draw(progressLines(progress)));
      const watch = { signal: context.signal, onProgress };
      try {
        const { report, script } =
          given.containerd === undefined
            ? { report: await verifyOwn(images, given, watch), script: undefined }
            : await verifyContainerdStore(images, given, watch);
        live?.clear();
        if (script !== undefined && !given.json) {
          context.stdout.write(script);
        } else {
          const value = script === undefined ? report : { ...report, repairScript: script };
          context.print(given, value, () => reportLines(context, report));
        }
        process.exitCode = report.ok ? 0 : exitFailed;
      } finally {
        live?.clear();
      }
    });
}

interface Watch {
  signal: AbortSignal;
  onProgress: ((progress: VerifyProgress) => void) | undefined;
}

function checkUsage(images: readonly string[], given: VerifyArguments): void {
  const wrong = (message: string) => new UnpackError('ERR_INVALID_ARGUMENT', message);
  if (given.all && images.length > 0) {
    throw wrong('--all is every image: name none');
  }
  if (given.dryRun && !given.repair) {
    throw wrong('--dry-run says what --repair would do: give both');
  }
  if (given.containerd === undefined && given.repairScript) {
    throw wrong('--repair-script is for --containerd; the own store has --repair');
  }
  if (given.containerd !== undefined && given.repair) {
    throw wrong("a containerd's store is only read: --repair-script prints what repairs it");
  }
  if (given.containerd !== undefined && images.length > 1) {
    throw wrong('--containerd takes one image, or none for all');
  }
}

function verifyOwn(
  images: readonly string[],
  given: VerifyArguments,
  watch: Watch,
): Promise<VerifyReport> {
  const { deep, repair, dryRun } = given;
  return withStore(given, repair && !dryRun ? 'write' : 'read', (store) =>
    store.verify({ images, deep, repair, dryRun, ...watch }),
  );
}

async function verifyContainerdStore(
  images: readonly string[],
  given: VerifyArguments,
  watch: Watch,
): Promise<{ report: VerifyReport; script: string | undefined }> {
  const { verifyContainerd } = await import('../../containerd/verify.js');
  const verification = await verifyContainerd({
    root: given.containerd === true ? undefined : given.containerd,
    namespace: given.namespace,
    image: images[0],
    ...watch,
  });
  if (!given.repairScript) {
    return { report: verification.report, script: undefined };
  }
  const { containerdRepairScript } = await import('../../containerd/repair-script.js');
  return { report: verification.report, script: await containerdRepairScript(verification) };
}

function progressLines({ done, snapshots, entries, bytes }: VerifyProgress): string[] {
  return [
    `${done} of ${plural(snapshots, 'layer')}: ${formatCount(entries)} entries, ${formatBytes(bytes)} compared`,
  ];
}

function reportLines(context: RunContext, report: VerifyReport): string[] {
  const { style } = context;
  const { counts, images, notes, repairs = [] } = report;
  const damaged = report.snapshots.filter((one) => one.findings.length + one.moreFindings > 0);
  const lines = damaged.flatMap((one) => snapshotLines(context, one));
  for (const { name, ok, hidden, revived } of images) {
    const state = report.repairs && report.ok ? 'was damaged' : 'damaged';
    lines.push(`${ok ? style.green('ok') : style.red(state)}  ${printable(name)}`);
    lines.push(...pathLines('cannot be seen in a container', hidden));
    lines.push(...pathLines('is seen though it is deleted', revived));
  }
  for (const { snapshot, status, reason } of repairs) {
    const why = reason === undefined ? '' : `: ${reason}`;
    lines.push(...wrap(printable(`repair ${shortKey(snapshot)}: ${status}${why}`)));
  }
  lines.push(...notes.flatMap((note) => wrap(printable(`note: ${note}`))));
  const sum = `${plural(counts.snapshots, 'layer')}, ${formatCount(counts.entries)} entries, ${formatBytes(counts.bytes)} compared in ${formatDuration(report.milliseconds)}`;
  const found = counts.findings === 1 ? '1 thing is' : `${counts.findings} things are`;
  const healed = repairs.length > 0 && repairs.every(({ status }) => status === 'done');
  const verdict =
    counts.findings === 0 || healed
      ? style.green(healed ? 'repaired: nothing is damaged any more' : 'nothing is damaged')
      : style.red(`${found} damaged`);
  return [...lines, style.bold(sum), verdict];
}

function snapshotLines({ style }: RunContext, audit: SnapshotAudit): string[] {
  const { findings, moreFindings, signatures, source } = audit;
  const more = findings.length + moreFindings - Math.min(findings.length, mostListed);
  return [
    style.bold(`layer ${audit.layer}, ${shortKey(audit.snapshot)}, against its ${source}`),
    `  ${printable(audit.directory)}`,
    ...findings
      .slice(0, mostListed)
      .flatMap(({ kind, path, detail }) =>
        wrap(`  ${style.red(kind)} ${printable(path) || '/'}: ${printable(detail)}`, 80, '    '),
      ),
    ...(more > 0 ? [`  and ${more} more, see --json`] : []),
    ...signatures.flatMap(({ id, explanation }) => wrap(`  ${id}: ${explanation}`, 80, '    ')),
  ];
}

function pathLines(what: string, { paths, total }: { paths: string[]; total: number }): string[] {
  if (total === 0) {
    return [];
  }
  const shown = paths.slice(0, hiddenListed).map((path) => `    ${printable(path) || '/'}`);
  const more = total > shown.length ? [`    and ${total - shown.length} more`] : [];
  return [`  ${plural(total, 'path')} ${what}:`, ...shown, ...more];
}
