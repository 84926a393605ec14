// `oci-unpack doctor`.

import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { checkGroups } from '../../doctor/checks.js';
import { givenPath } from '../../given-path.js';
import {
  defaultStoreRoot,
  examineHost,
  type HostCheck,
  type HostReport,
  version,
} from '../../index.js';
import { plural, printable, wrap } from '../../text.js';
import { addOutputOptions, type OutputOptions } from '../arguments.js';
import { exitFailed, type RunContext } from '../run-context.js';
import type { Style } from '../terminal.js';

const example = `
Examples:
  $ oci-unpack doctor
  $ sudo oci-unpack doctor --verbose
  $ oci-unpack doctor --dir /mnt/images --json |
      jq '.checks[] | select(.status != "ok")'

Everything is found out by trying, in a directory on the tested file system that
is removed again. What needs your attention comes first, with what it means, how
it was seen and what to do. The exit code is 1 when a check fails: then files
get lost, or nothing works. A warning is something that does not work here, or
works slower, and has a way around.

See also: oci-unpack explain opaque, oci-unpack verify.`;

interface DoctorArguments extends OutputOptions {
  dir?: string;
  root?: string;
  verbose?: boolean;
}

/** The command. */
export function doctorCommand(context: RunContext): Command {
  const command = new Command('doctor')
    .description('find out what this host can do, and whether it would lose files')
    .option('-d, --dir <dir>', 'on the file system to test (default: where the store is)')
    .option('--root <dir>', 'directory of the store, which need not exist yet')
    .option('-v, --verbose', 'say of every check what it means and how it was seen');
  return addOutputOptions(command)
    .addHelpText('after', example)
    .action(async (given: DoctorArguments) => {
      const directory = given.dir ?? (await placeOfStore(given.root));
      const report = await examineHost({ directory });
      context.print(given, { version, ...report }, () =>
        reportLines(report, given.verbose === true, context),
      );
      if (!report.ok) {
        process.exitCode = exitFailed;
      }
    });
}

/** Where the store is or would be made; undefined where this process may not write there. */
async function placeOfStore(given: string | undefined): Promise<string | undefined> {
  let place = givenPath('root', given ?? defaultStoreRoot());
  for (;;) {
    try {
      await access(place, constants.W_OK);
      return place;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || place === '/') {
        return given === undefined ? undefined : place;
      }
      place = path.dirname(place);
    }
  }
}

function reportLines(
  report: HostReport,
  verbose: boolean,
  { style, columns }: RunContext,
): string[] {
  const { platform, directory, checks } = report;
  const width = Math.min(columns, 80);
  const shown = { style, width, name: Math.max(...checks.map(({ name }) => name.length)) };
  const attention = checks.filter(({ status }) => status === 'fail' || status === 'warn');
  const worst = attention.toSorted((a, b) => rank(a) - rank(b));
  const lines = [
    ...wrap(`oci-unpack ${version} on ${platform}, looking at ${printable(directory)}`, width),
    verdict(report, style),
  ];
  if (worst.length > 0) {
    lines.push('', style.bold('What needs your attention'));
    lines.push(...worst.flatMap((check) => checkLines(check, shown, true)));
  }
  for (const [group, title] of Object.entries(checkGroups)) {
    const rest = checks.filter((check) => check.group === group && !worst.includes(check));
    if (rest.length > 0) {
      lines.push('', style.bold(title));
      lines.push(
        ...rest.flatMap((check) => checkLines(check, shown, verbose || check.status !== 'ok')),
      );
    }
  }
  const hint = '--verbose says of every check what it means and how it was seen.';
  return [...lines, '', sum(checks), ...(verbose ? [] : [style.dim(hint)])];
}

function rank({ losesFiles, status }: HostCheck): number {
  return losesFiles ? 0 : status === 'fail' ? 1 : 2;
}

function verdict({ checks, losesFiles, ok }: HostReport, { red, green, bold }: Style): string {
  const losing = checks.filter((check) => check.losesFiles).length;
  if (losesFiles) {
    const [verb, them] = losing === 1 ? ['loses', 'it'] : ['lose', 'them'];
    return red(bold(`${plural(losing, 'finding')} here ${verb} files: mend ${them} first.`));
  }
  return ok
    ? green('Nothing found here loses files.')
    : red(bold('oci-unpack does not work here.'));
}

interface Shown {
  style: Style;
  width: number;
  /** Columns of the longest name. */
  name: number;
}

function checkLines(check: HostCheck, { style, width, name }: Shown, whole: boolean): string[] {
  const { status, value, meaning, fix, evidence } = check;
  const paint = { ok: style.green, warn: style.yellow, fail: style.red, unknown: style.cyan };
  const first = `  ${paint[status](status.padEnd(7))}  ${check.name.padEnd(name)}  ${printable(value)}`;
  if (!whole) {
    return [first];
  }
  const indent = ' '.repeat(11);
  const paragraph = (label: string, text: string) =>
    wrap(label + printable(text), width - indent.length, ' '.repeat(label.length)).map(
      (line) => indent + line,
    );
  return [
    first,
    ...paragraph('', meaning),
    ...paragraph('seen: ', evidence).map(style.dim),
    ...(fix === '' ? [] : paragraph('fix:  ', fix)),
  ];
}

function sum(checks: readonly HostCheck[]): string {
  const count = (wanted: HostCheck['status']) =>
    checks.filter(({ status }) => status === wanted).length;
  return [
    `${count('ok')} ok`,
    plural(count('warn'), 'warning'),
    `${count('unknown')} unknown`,
    `${count('fail')} failed`,
  ].join(', ');
}
