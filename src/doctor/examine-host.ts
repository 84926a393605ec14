// What this host can do: the addon's probes of the kernel and a file system, and what runs the work, each with
// what it means. Probing is by trying, in a scratch directory that is removed again.

import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { UnpackError } from '../errors.js';
import { givenPath } from '../given-path.js';
import { type Binding, loadBinding, type Probe } from '../native/index.js';
import { type CheckGroup, type CheckStatus, checkTexts } from './checks.js';
import { judged } from './judge.js';
import { journalProbe, processorProbes, roomProbes, runtimeProbe } from './machine-checks.js';

/** One thing that was looked at. */
export interface HostCheck {
  /** Stable, e.g. `overlay-mount`. */
  name: string;
  /** What it is about. */
  group: CheckGroup;
  status: CheckStatus;
  /** Because of it files get lost, silently: deleted ones come back, or kept ones vanish. */
  losesFiles: boolean;
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
  /** Something would lose files; then it has failed, and `ok` is false. */
  losesFiles: boolean;
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
/** The first that reads the authorities of the environment when TLS needs them, not at its start. */
const firstLazyNode = 22;

/**
 * Finds out what this host can do, by trying it. Needs no rights; what this process may not do is a finding, not
 * an error.
 *
 * @throws UnpackError when `directory` is not there or not writable.
 */
export async function examineHost(options: ExamineHostOptions = {}): Promise<HostReport> {
  const directory = givenPath('directory', options.directory ?? (await defaultDirectory()));
  const probes: Probe[] = [nodeProbe(), startProbe()];
  const binding = tryBinding();
  if ('error' in binding) {
    const { message } = binding.error;
    probes.push({ id: 'addon', status: 'fail', value: 'not loaded', evidence: message });
  } else {
    try {
      probes.push(
        ...decoderProbes(binding.loaded),
        ...processorProbes(binding.loaded),
        ...(await binding.loaded.probeHost(directory)),
        ...(await roomProbes(directory)),
        journalProbe(directory),
        await runtimeProbe(),
      );
    } catch (error) {
      throw UnpackError.from(error);
    }
  }
  const checks = judged(probes).map(fromProbe).sort(inOrder);
  return {
    ok: checks.every(({ status }) => status !== 'fail'),
    losesFiles: checks.some(({ losesFiles }) => losesFiles),
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

function nodeProbe(): Probe {
  const { node } = process.versions;
  const [major = 0, minor = 0] = node.split('.').map(Number);
  const fits = major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1]);
  return { id: 'node', status: fits ? 'ok' : 'fail', value: node, evidence: process.execPath };
}

/** Whether starts of Node are slow. */
function startProbe(): Probe {
  const file = process.env.NODE_EXTRA_CA_CERTS;
  const isSlow = Boolean(file) && Number.parseInt(process.versions.node, 10) < firstLazyNode;
  return {
    id: 'node-start',
    status: isSlow ? 'warn' : 'ok',
    value: isSlow ? 'slow' : 'fast',
    evidence: file ? `NODE_EXTRA_CA_CERTS=${file}` : 'NODE_EXTRA_CA_CERTS: not set',
  };
}

function decoderProbes(binding: Binding): Probe[] {
  const { gzip, zstd } = binding.decoders();
  const isal = gzip === 'isa-l';
  const loaded = isal
    ? 'dlopen(libisal.so.2)'
    : 'dlopen(libisal.so.2): not found, or built without';
  const fine = (id: string, value: string, evidence: string): Probe => {
    return { id, status: 'ok', value, evidence };
  };
  return [
    fine('addon', 'loaded', `Node-API ${process.versions.napi}`),
    { id: 'gzip-decoder', status: isal ? 'ok' : 'warn', value: gzip, evidence: loaded },
    fine('zstd-decoder', zstd, 'linked in'),
    fine('workers', String(binding.workers()), 'sched_getaffinity, cgroup cpu.max'),
  ];
}

function fromProbe({ id, status, value, evidence }: Probe): HostCheck {
  const text = checkTexts[id];
  const { group = 'program', good = '', bad = '', unknown = bad, fix = '' } = text ?? {};
  const meaning = { ok: good, warn: bad, fail: bad, unknown }[status];
  return {
    name: id,
    group,
    status,
    losesFiles: status === 'fail' && group !== 'program',
    value,
    meaning,
    fix: status === 'ok' ? '' : fix,
    evidence,
  };
}

const order = Object.keys(checkTexts);

function inOrder(a: HostCheck, b: HostCheck): number {
  return order.indexOf(a.name) - order.indexOf(b.name);
}
