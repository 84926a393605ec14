// Checks that need no trying: the room and the journal of a file system, the processors, and the runtimes of the host.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { promisify } from 'node:util';
import { findRuntime, runtimes } from '../containers/runtime.js';
import type { Binding, Probe } from '../native/index.js';
import { formatBytes, formatCount } from '../text.js';
import { findFileSystem, hasJournal } from './file-system.js';

/** Below these an image of a distribution may not fit. */
const littleBytes = 2 ** 30;
const fewInodes = 100_000;

/** `free-bytes` and `free-inodes` of the file system of `directory`. */
export async function roomProbes(directory: string): Promise<Probe[]> {
  const { bavail, bsize, blocks, ffree, files } = await statfs(directory);
  const bytes = bavail * bsize;
  // ramfs counts no blocks; it, btrfs and others make inodes as they need them, and count none.
  const sized = blocks > 0;
  const counted = files > 0;
  return [
    {
      id: 'free-bytes',
      status: sized && bytes < littleBytes ? 'warn' : 'ok',
      value: sized ? formatBytes(bytes) : 'not bounded',
      evidence: sized
        ? `statfs: ${formatBytes(bytes)} of ${formatBytes(blocks * bsize)} free`
        : 'statfs: counts no blocks',
    },
    {
      id: 'free-inodes',
      status: counted && ffree < fewInodes ? 'warn' : 'ok',
      value: counted ? formatCount(ffree) : 'not bounded',
      evidence: counted
        ? `statfs: ${formatCount(ffree)} of ${formatCount(files)} free`
        : 'statfs: counts no inodes',
    },
  ];
}

/** `ext4-journal`. */
export function journalProbe(directory: string): Probe {
  const id = 'ext4-journal';
  const type = findFileSystem(directory)?.type;
  if (type !== 'ext4') {
    const evidence = `/proc/self/mountinfo: ${type ?? 'no such mount'}`;
    return { id, status: type ? 'ok' : 'unknown', value: 'not ext4', evidence };
  }
  const journal = hasJournal(directory);
  const evidence = '/proc/fs/jbd2';
  return journal === undefined
    ? { id, status: 'unknown', value: 'not known', evidence: `${evidence}: does not tell` }
    : {
        id,
        status: journal ? 'ok' : 'warn',
        value: journal ? 'yes' : 'no',
        evidence: `${evidence}: ${journal ? 'has' : 'does not have'} the journal of its device`,
      };
}

/** `cgroup-cpu` and `sha-extensions`. */
export function processorProbes(binding: Binding): Probe[] {
  const workers = binding.workers();
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readOr('/proc/self/status', ''))?.[1];
  const allowed = list === undefined ? undefined : countList(list);
  const bounded = allowed !== undefined && workers < allowed;
  const extensions = binding.decoders().sha256 === 'sha-extensions';
  return [
    {
      id: 'cgroup-cpu',
      status: allowed === undefined ? 'unknown' : bounded ? 'warn' : 'ok',
      value: bounded ? `${workers} of ${allowed}` : 'not bounded',
      evidence: `processors by affinity: ${list ?? 'not known'}; with cpu.max of all cgroups: ${workers}`,
    },
    {
      id: 'sha-extensions',
      status: extensions ? 'ok' : 'warn',
      value: extensions ? 'yes' : 'no',
      evidence: extensions ? 'cpuid: SHA, SSE4.1' : 'cpuid: no SHA, or another architecture',
    },
  ];
}

/** How many numbers `0-3,8` has. */
function countList(list: string): number {
  return list.split(',').reduce((sum, range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return sum + last - first + 1;
  }, 0);
}

/** `runtime`: every one that is there, with its version. */
export async function runtimeProbe(): Promise<Probe> {
  const found: { shown: string; file: string }[] = [];
  for (const name of runtimes) {
    const file = await findRuntime(name).catch(() => undefined);
    if (file !== undefined) {
      const version = await versionOf(file);
      found.push({ shown: [name, version].filter(Boolean).join(' '), file });
    }
  }
  return {
    id: 'runtime',
    status: found.length > 0 ? 'ok' : 'warn',
    value: found.map(({ shown }) => shown).join(', ') || 'none',
    evidence: found.map(({ file }) => file).join(', ') || `${runtimes.join(', ')}: not in PATH`,
  };
}

const versionMilliseconds = 5000;

/** `1.1.5` out of `runc version 1.1.5+ds1`; empty where it does not say. */
async function versionOf(file: string): Promise<string> {
  try {
    const options = { timeout: versionMilliseconds };
    const { stdout } = await promisify(execFile)(file, ['--version'], options);
    return /version\s+(\S+)/.exec(stdout)?.[1] ?? '';
  } catch {
    return '';
  }
}

function readOr(file: string, fallback: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return fallback;
  }
}
