// The machine that was measured, for reports.

import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { loadBinding } from '../native/index.js';
import { describeFileSystem, type FileSystemInfo } from './file-system.js';

export interface BenchHost {
  cpu: string;
  /** Threads that this process may use, by affinity and cgroup. */
  workers: number;
  /** Bytes. */
  memory: number;
  kernel: string;
  distribution: string;
  node: string;
  /** The decoder of gzip: `isa-l` or `zlib`. */
  decoder: string;
  fileSystem: FileSystemInfo;
}

/** Describes this host, with the file system of `directory`. */
export function describeHost(directory: string): BenchHost {
  const binding = loadBinding();
  return {
    cpu: cpus()[0]?.model.trim() || process.arch,
    workers: Math.min(binding.workers(), availableParallelism()),
    memory: totalmem(),
    kernel: release(),
    distribution: distribution(),
    node: process.versions.node,
    decoder: binding.decoders().gzip,
    fileSystem: describeFileSystem(directory),
  };
}

function distribution(): string {
  try {
    const text = readFileSync('/etc/os-release', 'utf8');
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(text)?.[1] ?? 'Linux';
  } catch {
    return 'Linux';
  }
}
