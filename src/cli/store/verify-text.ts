// A report of verify for people, at most 80 columns wide on a terminal of that width.

import type {
  DamagedBlob,
  Finding,
  PathList,
  RepairStep,
  SnapshotAudit,
  VerifyReport,
} from '../../index.js';
import {
  formatBytes,
  formatCount,
  formatDuration,
  plural,
  printable,
  shortDigest,
  wrap,
} from '../../text.js';
import { countFindings, isDamaged } from '../../verify/report.js';
import type { RunContext } from '../run-context.js';

/** Findings of a snapshot, and paths of a list, that are shown; `--json` has more. */
const mostFindings = 50;
const mostPaths = 10;

/** The report as lines. */
export function verifyLines(report: VerifyReport, context: RunContext): string[] {
  const { style } = context;
  const columns = Math.min(context.columns, 80);
  const damaged = report.snapshots.filter(isDamaged);
  return [
    ...damaged.flatMap((snapshot) => [...snapshotLines(report, snapshot, context, columns), '']),
    ...imageLines(report, context, columns),
    ...report.damagedBlobs.flatMap((blob) => blobLines(blob, report, context, columns)),
    ...(report.repairs ?? []).flatMap((step) => repairLines(step, context, columns)),
    ...report.notes.flatMap((note) =>
      wrap(`note: ${shortDigests(printable(note))}`, columns).map(style.dim),
    ),
    ...sumLines(report, context),
  ];
}

function snapshotLines(
  { images }: VerifyReport,
  snapshot: SnapshotAudit,
  { style }: RunContext,
  columns: number,
): string[] {
  const { chainID, layer, directory, findings, signatures, hidden, revived } = snapshot;
  const names = images.filter(({ layers }) => layers.includes(chainID)).map(({ name }) => name);
  const more = names.length > 1 ? ` and ${plural(names.length - 1, 'image')} more` : '';
  const of = names[0] === undefined ? '' : ` of ${printable(names[0])}${more}`;
  const rest = countFindings(snapshot) - Math.min(findings.length, mostFindings);
  return [
    style.bold(`layer ${layer}${of}`),
    ...wrap(`snapshot ${shortDigest(chainID)}, ${basis(snapshot)}`, columns - 2).map((line) =>
      style.dim(`  ${line}`),
    ),
    style.dim(`  ${printable(directory)}`),
    ...findings.slice(0, mostFindings).flatMap((finding) => findingLines(finding, style, columns)),
    ...(rest > 0 ? [`  and ${plural(rest, 'finding')} more (--json)`] : []),
    ...signatures.flatMap(({ id, findings: fitting, explanation }) => [
      `  fits ${style.yellow(id)} (${plural(fitting, 'finding')}):`,
      ...indent(explanation, columns),
    ]),
    ...pathLines(hidden, 'not to be seen because of it', columns),
    ...pathLines(revived, 'to be seen though deleted', columns),
  ];
}

function basis({ source, unchecked }: SnapshotAudit): string {
  const by = {
    manifest: 'compared with the manifest of its unpack',
    blob: 'compared with its blob',
    structure: 'without anything to compare it with',
  };
  const rest = unchecked > 0 ? `; content of ${plural(unchecked, 'file')} not compared` : '';
  return by[source] + rest;
}

function findingLines(
  { kind, path, detail }: Finding,
  style: RunContext['style'],
  columns: number,
): string[] {
  const name = path === '' ? '/' : printable(path);
  const one = `  ${kind}  ${name}: ${printable(detail)}`;
  if (one.length <= columns) {
    return [`  ${style.red(kind)}  ${name}: ${printable(detail)}`];
  }
  return [`  ${style.red(kind)}  ${name}`, ...indent(printable(detail), columns)];
}

function indent(text: string, columns: number): string[] {
  return wrap(text, columns - 6, '').map((line) => `      ${line}`);
}

function pathLines({ paths, total }: PathList, what: string, columns: number): string[] {
  if (total === 0) {
    return [];
  }
  const shown = paths.slice(0, mostPaths);
  const width = columns - 6;
  const rest = total - shown.length;
  return [
    `  ${plural(total, 'path')} ${what}:`,
    ...shown.map((path) => `      ${fit(printable(path), width)}`),
    ...(rest > 0 ? [`      and ${formatCount(rest)} more`] : []),
  ];
}

/** Cuts the beginning, since the end says more. */
function fit(path: string, width: number): string {
  return path.length <= width ? path : `…${path.slice(path.length - width + 1)}`;
}

function imageLines(report: VerifyReport, { style }: RunContext, columns: number): string[] {
  const { images, repairs } = report;
  const healed = report.ok && (repairs ?? []).length > 0;
  return images.map(({ name, ok, layers, hidden, revived }) => {
    const effects = [
      ...(hidden.total > 0 ? [`lacks ${plural(hidden.total, 'path')}`] : []),
      ...(revived.total > 0 ? [`shows ${plural(revived.total, 'deleted path')}`] : []),
    ];
    const state = ok
      ? style.green('ok     ')
      : healed
        ? style.yellow('healed ')
        : style.red('damaged');
    const text = [`${plural(layers.length, 'layer')}`, ...effects].join(', ');
    return `${state}  ${fit(printable(name), Math.max(20, columns - 11 - text.length))}  ${text}`;
  });
}

function blobLines(
  { digest, code, detail }: DamagedBlob,
  { kind }: VerifyReport,
  { style }: RunContext,
  columns: number,
): string[] {
  // One that is there is not copied again.
  const remove =
    kind === 'containerd' ? `ctr content rm ${digest}` : `oci-unpack content rm ${digest}`;
  return [
    `${style.red('damaged')}  blob ${shortDigest(digest)}: ${code}`,
    ...indent(shortDigests(printable(detail)), columns),
    ...indent(`fix: remove it, ${remove}, and pull or import the image again`, columns),
  ];
}

function repairLines(step: RepairStep, { style }: RunContext, columns: number): string[] {
  const name = `snapshot ${shortDigest(step.chainID)}`;
  switch (step.status) {
    case 'done':
      return [style.green(`repair ${name}: done, made again from its blob`)];
    case 'planned':
      return [`repair ${name}: planned, it would be made again from its blob`];
    default:
      return [
        style.red(`repair ${name}: impossible, ${step.code ?? 'ERR_INTERNAL'}`),
        ...indent(shortDigests(printable(step.reason ?? '')), columns),
        ...indent(`fix: ${step.fix ?? ''}`, columns),
      ];
  }
}

/** Digests cut to what tells them apart. */
function shortDigests(text: string): string {
  return text.replace(/\bsha(?:256|512):([0-9a-f]{12})[0-9a-f]+/g, '$1');
}

function sumLines(report: VerifyReport, { style }: RunContext): string[] {
  const { counts, ok, milliseconds, repairs = [] } = report;
  const { snapshots, entries, bytes, unchecked, findings, damagedBlobs } = counts;
  const wrong = [
    ...(findings > 0 ? [plural(findings, 'finding')] : []),
    ...(damagedBlobs > 0 ? [plural(damagedBlobs, 'damaged blob')] : []),
  ];
  const names = `${formatCount(entries)} ${entries === 1 ? 'entry' : 'entries'}`;
  const compared = `${plural(snapshots, 'layer')}, ${names}, ${formatBytes(bytes)} compared in ${formatDuration(milliseconds)}`;
  return [
    style.bold(compared),
    ...(unchecked > 0
      ? [
          `content of ${plural(unchecked, 'file')} not compared: unknown (see --deep), or closed to you`,
        ]
      : []),
    ok
      ? style.green(
          repairs.length > 0 ? 'repaired: nothing is damaged any more' : 'nothing is damaged',
        )
      : style.red(
          wrong.length === 0 ? 'not all could be repaired' : `${wrong.join(', ')}: damaged`,
        ),
  ];
}
