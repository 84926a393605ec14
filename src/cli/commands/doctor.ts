// `oci-unpack doctor`.

import { Command } from 'commander';
import { examineHost, type HostCheck, type HostReport, version } from '../../index.js';
import { addOutputOptions, type OutputOptions } from '../arguments.js';
import { exitFailed, type RunContext } from '../run-context.js';
import type { Style } from '../terminal.js';
import { plural, printable, wrap } from '../text.js';

const example = `
Examples:
  $ oci-unpack doctor
  $ oci-unpack doctor --dir /var/lib/images --json | jq '.checks[] | select(.status != "ok")'

Everything is found out by trying, in a directory below DIR that is removed
again. The exit code is 1 when a check fails; a warning is something that does
not work here, or works slower, and has a way around.`;

/** The command. */
export function doctorCommand(context: RunContext): Command {
  const command = new Command('doctor')
    .description('find out what this host can do, and what to do where it cannot')
    .option('-d, --dir <dir>', 'on the file system to test (default: the working directory)');
  return addOutputOptions(command)
    .addHelpText('after', example)
    .action(async (given: { dir?: string } & OutputOptions) => {
      const report = await examineHost({ directory: given.dir });
      context.print(given, { version, ...report }, () => reportLines(report, context));
      if (!report.ok) {
        process.exitCode = exitFailed;
      }
    });
}

function reportLines(report: HostReport, { style, columns }: RunContext): string[] {
  const { platform, directory, checks } = report;
  const count = (wanted: HostCheck['status']) =>
    checks.filter(({ status }) => status === wanted).length;
  const width = Math.max(...checks.map(({ name }) => name.length));
  const sum = [
    `${count('ok')} ok`,
    plural(count('warn'), 'warning'),
    `${count('unknown')} unknown`,
    `${count('fail')} failed`,
  ].join(', ');
  return [
    `oci-unpack ${version} on ${platform}, looking at ${printable(directory)}`,
    '',
    ...checks.flatMap((check) => checkLines(check, width, style, Math.min(columns, 80))),
    '',
    style.bold(sum),
  ];
}

function checkLines(check: HostCheck, width: number, style: Style, columns: number): string[] {
  const { name, status, value, meaning, fix, evidence } = check;
  const paint = { ok: style.green, warn: style.yellow, fail: style.red, unknown: style.cyan };
  const indent = ' '.repeat(9);
  const indented = (text: string) =>
    wrap(text, columns - indent.length, '').map((line) => indent + line);
  const lines = [`${paint[status](status.padEnd(7))}  ${name.padEnd(width)}  ${printable(value)}`];
  lines.push(...indented(meaning).map(style.dim));
  if (status !== 'ok') {
    lines.push(...indented(printable(evidence)).map(style.dim));
    lines.push(...indented(`fix: ${fix}`));
  }
  return lines;
}
