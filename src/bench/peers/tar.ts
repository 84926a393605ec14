// Tar programs, two layers at once into a directory each: GNU tar behind a decompressor, and bsdtar. They check no
// digest and leave whiteouts as files.

import { mkdir } from 'node:fs/promises';
import type { Tolerance } from '../../demo/tree.js';
import type { Absence, Contender } from '../contender.js';
import type { BenchImage } from '../image.js';
import { layerDirectory, viewLayers } from '../layered-view.js';
import { runProcess, versionOf, which } from '../process.js';

interface Decompressor {
  id: string;
  program: string;
  /** The Debian package. */
  package: string;
  /** Reads stdin, writes stdout. */
  command: string;
  reads: readonly BenchImage['layers'][number]['compression'][];
}

const decompressors: Decompressor[] = [
  { id: 'gzip', program: 'gzip', package: 'gzip', command: 'gzip -dc', reads: ['gzip'] },
  { id: 'pigz', program: 'pigz', package: 'pigz', command: 'pigz -dc', reads: ['gzip'] },
  { id: 'igzip', program: 'igzip', package: 'isal', command: 'igzip -dc', reads: ['gzip'] },
  { id: 'zstd', program: 'zstd', package: 'zstd', command: 'zstd -dcq', reads: ['zstd', 'gzip'] },
];

/** Others than root cannot set owners: trying it for each file would only cost them time. */
const root = process.geteuid?.() === 0;
const gnuTar = `tar --extract --numeric-owner ${root ? '--same-owner' : '--no-same-owner'} --preserve-permissions`;

/** Two at once, the biggest first; whatever fails makes the whole fail. */
const lanes = 'set -o pipefail; export LC_ALL=C.UTF-8; xargs -0 -n 4 -P 2 bash -o pipefail -c';

/** All tar programs. */
export function tarContenders(): Contender[] {
  return [
    ...decompressors.map(({ id, program, package: debian, command, reads }) =>
      tarContender({
        id: `tar-${id}`,
        title: `${program} | GNU tar`,
        programs: { [program]: debian, tar: 'tar' },
        reads,
        command: `tail -c +$(($2 + 1)) "$1" | head -c "$3" | ${command} | ${gnuTar} -C "$4"`,
        whole: `${command} < "$1" | ${gnuTar} -C "$4"`,
        tolerance: { xattrs: true, directories: true },
        lacks: ['digests', 'xattrs and capabilities', 'whiteouts (left as files)'],
      }),
    ),
    tarContender({
      id: 'bsdtar',
      title: 'bsdtar',
      programs: { bsdtar: 'libarchive-tools' },
      reads: ['gzip', 'zstd', 'none'],
      command: `tail -c +$(($2 + 1)) "$1" | head -c "$3" | bsdtar --numeric-owner -xpf - -C "$4"`,
      whole: `bsdtar --numeric-owner -xpf "$1" -C "$4"`,
      tolerance: { xattrs: true, directories: true },
      lacks: ['digests', 'whiteouts (left as files)'],
    }),
  ];
}

interface TarProgram {
  id: string;
  title: string;
  /** Programs with their Debian packages. */
  programs: Record<string, string>;
  reads: readonly string[];
  /** Shell: $1 blob, $2 offset, $3 length, $4 directory. */
  command: string;
  /** The same for a blob that is a file of its own. */
  whole: string;
  tolerance: Tolerance;
  lacks: string[];
}

function tarContender(program: TarProgram): Contender {
  const contender: Contender = {
    id: program.id,
    title: program.title,
    kind: 'peer',
    digests: false,
    lacks: root ? program.lacks : [...program.lacks, 'owners'],
    async absence({ image, signal }): Promise<Absence | undefined> {
      for (const [name, debian] of Object.entries({ ...program.programs, bash: 'bash' })) {
        if (which(name) === undefined) {
          const install = `apt-get install ${debian}`;
          return { status: 'missing', reason: `${name} is not installed`, install };
        }
      }
      const versions = await Promise.all(
        Object.keys(program.programs).map((name) => versionOf(name, signal)),
      );
      contender.version = versions.filter(Boolean).join(', ');
      const other = image.layers.find(({ compression }) => !program.reads.includes(compression));
      return (
        other && {
          status: 'unsuitable',
          reason: `a layer is ${other.compression === 'none' ? 'not compressed' : other.compression}`,
        }
      );
    },
    async begin({ image }, destination) {
      for (const index of image.layers.keys()) {
        await mkdir(layerDirectory(destination, index), { recursive: true });
      }
    },
    async unpack({ image, signal }, destination) {
      const whole = image.layers.every(({ offset }) => offset === 0);
      const order = [...image.layers.entries()].sort(([, a], [, b]) => b.length - a.length);
      const words = order.flatMap(([index, { path, offset, length }]) => {
        return [path, String(offset), String(length), layerDirectory(destination, index)];
      });
      const script = `printf '%s\\0' "\${@:2}" | (${lanes} "$1" layer)`;
      const inner = whole ? program.whole : program.command;
      const args = ['-c', script, 'bench', inner, ...words];
      // 123: one of the layers was not extracted without a complaint; the comparison tells what is missing.
      const { code, stderr, usage } = await runProcess('bash', args, { signal, codes: [0, 123] });
      const complaint = stderr.trim().split('\n', 1)[0] ?? '';
      return { usage, ...(code !== 0 && { note: `it complained: ${complaint}` }) };
    },
    async view({ image, signal }, destination) {
      const tolerance = { ...program.tolerance, owners: !root };
      return viewLayers(destination, image.layers.length, tolerance, signal);
    },
  };
  return contender;
}
