// The machine that was measured, for reports.

import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { loadBinding } from '../native/index.js';
import { describeFileSystem, type FileSystemInfo } from './file-system.js';
import { hasExtraCertificates } from './process.js';

export interface BenchHost {
  cpu: string;
  /** Processors of the machine. */
  cores: number;
  /** Threads that this process may use, by affinity and cgroup. */
  workers: number;
  /** Bytes. */
  memory: number;
  kernel: string;
  distribution: string;
  node: string;
  /** The decoder of gzip: `isa-l` or `zlib`. */
  decoder: string;
  /** Version of the zstd library in the addon. */
  zstd: string;
  /** Load average of one minute at the beginning: what else ran. */
  load: number;
  /** `NODE_EXTRA_CA_CERTS` is set, without which the contenders run. */
  extraCertificates: boolean;
  fileSystem: FileSystemInfo;
}

/** Describes this host, with the file system of `directory`. */
export function describeHost(directory: string): BenchHost {
  const binding = loadBinding();
  const { gzip, zstd } = binding.decoders();
  return {
    cpu: cpus()[0]?.model.trim() || process.arch,
    cores: cpus().length,
    workers: binding.workers(),
    memory: totalmem(),
    kernel: release(),
    distribution: distribution(),
    node: process.versions.node,
    decoder: gzip,
    zstd,
    load: Number(readOr('/proc/loadavg', '0').split(' ', 1)[0]),
    extraCertificates: hasExtraCertificates(),
    fileSystem: describeFileSystem(directory),
  };
}

function distribution(): string {
  return /^PRETTY_NAME="?([^"\n]*)/m.exec(readOr('/etc/os-release', ''))?.[1] ?? 'Linux';
}

function readOr(file: string, fallback: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return fallback;
  }
}
