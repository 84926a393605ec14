// What this host can do: the addon's probes of the kernel and a file system, and what runs the work, each with
// what it means. Probing is by trying, in a scratch directory that is removed again.

import { access, constants } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { type Binding, loadBinding, type Probe } from '../native/index.js';
import { type CheckStatus, checkTexts } from './checks.js';

/** One thing that was looked at. */
export interface HostCheck {
  /** Stable, e.g. `overlay-mount`. */
  name: string;
  status: CheckStatus;
  /** What was found, e.g. `yes`, `6.18.1`, `isa-l`. */
  value: string;
  /** What that means for unpacking. */
  meaning: string;
  /** What to do about it; empty where nothing must be done. */
  fix: string;
  /** How it was found out, e.g. the system call with its error. */
  evidence: string;
}

/** What {@link examineHost} resolves to. */
export interface HostReport {
  /** Nothing failed. */
  ok: boolean;
  /** `linux/x64`. */
  platform: string;
  /** The directory whose file system was tested. */
  directory: string;
  checks: HostCheck[];
}

/** Options of {@link examineHost}. */
export interface ExamineHostOptions {
  /** On the file system to test; default the working directory, or the one for temporary files where that is read-only. */
  directory?: string;
}

const oldestNode = [20, 19] as const;

/**
 * Finds out what this host can do, by trying it. Needs no rights; what this process may not do is a finding, not
 * an error.
 *
 * @throws UnpackError when `directory` is not there or not writable.
 */
export async function examineHost(options: ExamineHostOptions = {}): Promise<HostReport> {
  const directory = path.resolve(options.directory ?? (await defaultDirectory()));
  const checks = [nodeCheck()];
  const binding = tryBinding();
  if ('error' in binding) {
    checks.push(makeCheck('addon', 'fail', 'not loaded', binding.error.message));
  } else {
    checks.push(...decoderChecks(binding.loaded));
    const probes = await binding.loaded.probeHost(directory).catch((error: unknown) => {
      throw UnpackError.from(error);
    });
    checks.push(...judged(probes).map(fromProbe));
  }
  return {
    ok: checks.every(({ status }) => status !== 'fail'),
    platform: `${process.platform}/${process.arch}`,
    directory,
    checks,
  };
}

async function defaultDirectory(): Promise<string> {
  return access('.', constants.W_OK).then(
    () => '.',
    () => tmpdir(),
  );
}

function tryBinding(): { loaded: Binding } | { error: UnpackError } {
  try {
    return { loaded: loadBinding() };
  } catch (error) {
    return { error: UnpackError.from(error) };
  }
}

function makeCheck(name: string, status: CheckStatus, value: string, evidence: string): HostCheck {
  const { good = '', bad = '', unknown = bad, fix = '' } = checkTexts[name] ?? {};
  const meanings = { ok: good, warn: bad, fail: bad, unknown };
  const meaning = meanings[status];
  return { name, status, value, meaning, fix: status === 'ok' ? '' : fix, evidence };
}

function nodeCheck(): HostCheck {
  const { node } = process.versions;
  const [major = 0, minor = 0] = node.split('.').map(Number);
  const fits = major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1]);
  return makeCheck('node', fits ? 'ok' : 'fail', node, process.execPath);
}

function decoderChecks(binding: Binding): HostCheck[] {
  const { gzip, zstd } = binding.decoders();
  const isal = gzip === 'isa-l';
  const loaded = isal
    ? 'dlopen(libisal.so.2)'
    : 'dlopen(libisal.so.2): not found, or built without';
  return [
    makeCheck('addon', 'ok', 'loaded', `Node-API ${process.versions.napi}`),
    makeCheck('gzip-decoder', isal ? 'ok' : 'warn', gzip, loaded),
    makeCheck('zstd-decoder', 'ok', zstd, 'linked in'),
    makeCheck('workers', 'ok', String(binding.workers()), 'sched_getaffinity, cgroup cpu.max'),
  ];
}

/** A whiteout can be written in two ways: where neither works, no layer with one can be. */
function judged(probes: readonly Probe[]): Probe[] {
  const refused = (id: string) => probes.find((probe) => probe.id === id)?.status === 'warn';
  const noWhiteouts = refused('whiteout-device') && refused('xattr-whiteout');
  return probes.map((probe) =>
    probe.id === 'whiteout-device' && noWhiteouts ? { ...probe, status: 'fail' } : probe,
  );
}

function fromProbe({ id, status, value, evidence }: Probe): HostCheck {
  return makeCheck(id, status, value, evidence);
}
