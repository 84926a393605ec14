// A result of the bench as `bench --json` writes it, small and with everything in it that can be shown.

import type { Row } from '../../src/bench/measure.js';
import type { BenchReport } from '../../src/bench/run.js';
import { statistics } from '../../src/bench/statistics.js';

/** A row that was measured: samples in milliseconds, 1.5 times as much processor time, 50 MiB. */
export function measuredRow(id: string, walls: number[], more: Partial<Row> = {}): Row {
  const samples = walls.map((wall) => ({
    wall,
    user: wall,
    system: wall / 2,
    maxRss: 50 * 2 ** 20,
  }));
  return {
    id,
    title: id,
    kind: 'ours',
    version: '1.2.3',
    digests: true,
    lacks: [],
    status: 'measured',
    samples,
    wall: statistics(walls),
    cpu: statistics(walls.map((wall) => wall * 1.5)),
    maxRss: statistics(samples.map(({ maxRss }) => maxRss)),
    paths: 1234,
    differenceCount: 0,
    differences: [],
    tolerance: [],
    ...more,
  };
}

/** Samples around `wall`. */
export function around(wall: number): number[] {
  return [0.98, 1.01, 1, 1.03, 0.99].map((factor) => wall * factor);
}

export function sampleReport(own = 3000): BenchReport {
  return {
    kind: 'oci-unpack-bench',
    schema: 2,
    version: '1.2.3',
    date: '2026-01-02T03:04:05.678Z',
    host: {
      cpu: 'A processor with a long name, 16-Core Processor',
      cores: 16,
      workers: 2,
      memory: 24 * 2 ** 30,
      kernel: '6.18.0',
      distribution: 'Debian GNU/Linux 12 (bookworm)',
      node: '20.20.2',
      decoder: 'isa-l',
      zstd: '1.5.4',
      load: 0.5,
      extraCertificates: false,
      fileSystem: { type: 'ext4', options: ['rw', 'noatime'] },
    },
    runs: 5,
    images: [
      {
        reference: 'oci:/images/a<script>alert(1)</script>:latest',
        manifestDigest: `sha256:${'a'.repeat(64)}`,
        layerDigests: [`sha256:${'b'.repeat(64)}`],
        layers: 1,
        size: 400e6,
        tarBytes: 1500e6,
        files: 65_432,
        rows: [
          measuredRow('oci-unpack', around(own), {
            stages: { read: 10, decode: 1500, hash: 1300, parse: 100, write: 2000, finish: 50 },
            decoders: ['isa-l'],
          }),
          measuredRow('javascript', around(24_000), {
            kind: 'javascript',
            title: 'JavaScript',
            lacks: ['xattrs', 'devices'],
            tolerance: ['xattrs'],
          }),
          measuredRow('tar-igzip', around(3300), {
            kind: 'peer',
            title: 'igzip | GNU tar',
            digests: false,
            lacks: ['digests'],
            differenceCount: 1,
            differences: [{ path: 'etc/<b>', what: 'is missing' }],
          }),
          {
            ...measuredRow('umoci', [0], { kind: 'peer', title: 'umoci raw unpack' }),
            status: 'missing',
            reason: 'umoci is not installed',
            install: 'apt-get install umoci',
            samples: [],
            wall: undefined,
            cpu: undefined,
            maxRss: undefined,
          },
          measuredRow('floor', around(2500), {
            kind: 'floor',
            stages: { inflate: 1500, 'sha256 of tars': 1000, 'system calls': 2000 },
            maxRss: undefined,
          }),
        ],
      },
    ],
    equal: true,
  };
}
