// Command-line options that several commands share, and their parsers; a bad value is a usage error (exit 2).

import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  type CommonOptions,
  type Format,
  formats,
  type IdMap,
  type Limits,
  limitDefaults,
  type Policies,
  policyValues,
} from '../unpack/options.js';

/** `--json` and `--quiet`, which every command has. */
export interface OutputOptions {
  json?: boolean;
  quiet?: boolean;
}

export function addOutputOptions(command: Command): Command {
  return command
    .option('--json', 'print the result as JSON')
    .option('-q, --quiet', 'print only errors, no progress');
}

/** A size: `65536`, `64K`, `64KiB`, `1.5G`; binary units. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?$/i.exec(text.trim());
  const power = 'KMGTP'.indexOf(match?.[2]?.toUpperCase() || '-') + 1;
  const value = Math.round(Number(match?.[1]) * 1024 ** power);
  if (match === null || !Number.isSafeInteger(value) || value <= 0) {
    throw new InvalidArgumentError('Write a size such as 65536, 64K or 1.5G.');
  }
  return value;
}

/** A whole number from `least` to `most`. */
export function parseCount(
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least || value > most) {
      const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
      throw new InvalidArgumentError(`Write a whole number ${range}.`);
    }
    return value;
  };
}

function parseRatio(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || !(value > 0)) {
    throw new InvalidArgumentError('Write a positive number.');
  }
  return value;
}

/** `CONTAINER:HOST:SIZE`; the option may be repeated. */
function parseIdMap(text: string, previous: IdMap[] | undefined): IdMap[] {
  const match = /^(\d+):(\d+):(\d+)$/.exec(text);
  if (match === null) {
    throw new InvalidArgumentError('Write CONTAINER-ID:HOST-ID:SIZE, such as 0:100000:65536.');
  }
  const [containerID, hostID, size] = match.slice(1).map(Number) as [number, number, number];
  return [...(previous ?? []), { containerID, hostID, size }];
}

const policyHelp: Record<keyof typeof policyValues, string> = {
  symlinkParents: 'an unnamed parent that is a symlink in a lower layer',
  overlayXattrs: 'overlay xattrs that come from a layer',
  xattrs: 'xattrs that the file system refuses',
  devices: 'device files',
  deviceWhiteouts: 'character devices 0:0, which overlayfs takes for whiteouts',
  trailingGarbage: 'bytes after the end of the compressed data',
  ownership: 'owners of files',
};

const limitHelp: Record<keyof Limits, string> = {
  maxBytes: 'uncompressed bytes of a layer',
  maxRatio: 'uncompressed to compressed bytes',
  maxEntries: 'entries of a layer',
  maxPathBytes: 'bytes of a path',
  maxPathDepth: 'components of a path',
  maxPaxBytes: 'bytes of a pax header',
  maxXattrBytes: "bytes of an entry's xattrs",
  maxGlobalXattrs: 'xattrs of the pax global headers',
  maxSparseEntries: 'pieces of a sparse file',
};

/** What commander has parsed: flat, camel-cased. */
export type UnpackArguments = Partial<Omit<Policies, never>> &
  Limits & { format?: Format; concurrency?: number; platform?: string };

/** Format, policies and limits. */
export function addUnpackOptions(command: Command): Command {
  command
    .addOption(
      new Option('-f, --format <format>', 'how layers are written')
        .choices([...formats])
        .default(formats[0]),
    )
    .option('-j, --concurrency <n>', 'threads (default: one per processor)', parseCount(1, 64));
  for (const [name, values] of Object.entries(policyValues)) {
    const help = policyHelp[name as keyof typeof policyValues];
    command.addOption(
      new Option(`--${kebab(name)} <policy>`, help)
        .choices([...values])
        .default(values[0])
        .helpGroup('Policies:'),
    );
  }
  for (const kind of ['uid', 'gid']) {
    command.addOption(
      new Option(`--${kind}-map <map>`, `CONTAINER:HOST:SIZE with --ownership map; repeatable`)
        .argParser(parseIdMap)
        .helpGroup('Policies:'),
    );
  }
  for (const [name, value] of Object.entries(limitDefaults)) {
    const bytes = name.endsWith('Bytes');
    const flag = `--${kebab(name)} <${bytes ? 'size' : 'n'}>`;
    const shown = bytes ? binarySize(value) : String(value);
    let parser: (text: string) => number = bytes ? parseSize : parseCount(1);
    if (name === 'maxRatio') {
      parser = parseRatio;
    }
    command.addOption(
      new Option(flag, `${limitHelp[name as keyof Limits]} (default: ${shown})`)
        .argParser(parser)
        .helpGroup('Limits of a layer:'),
    );
  }
  return command;
}

/** The library's options out of parsed arguments. */
export function unpackOptions(given: UnpackArguments): CommonOptions & { platform?: string } {
  const policies: Record<string, unknown> = {};
  for (const name of [...Object.keys(policyValues), 'uidMap', 'gidMap']) {
    const value = given[name as keyof UnpackArguments];
    if (value !== undefined) {
      policies[name] = value;
    }
  }
  const limits: Limits = {};
  for (const name of Object.keys(limitDefaults) as (keyof Limits)[]) {
    const value = given[name];
    if (value !== undefined) {
      limits[name] = value;
    }
  }
  const { format, concurrency, platform } = given;
  return { format, concurrency, platform, policies, limits };
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function binarySize(bytes: number): string {
  let value = bytes;
  let unit = '';
  for (const next of 'KMGT') {
    if (value % 1024 !== 0) {
      break;
    }
    value /= 1024;
    unit = next;
  }
  return `${value}${unit}`;
}
