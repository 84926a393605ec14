// The contenders in JavaScript: the pure JavaScript apply of this project, and the two tar packages of npm.

import { createRequire } from 'node:module';
import path from 'node:path';
import type { Tolerance } from '../demo/tree.js';
import { packageRoot } from '../package-root.js';
import type { Absence, Contender, ContenderKind, Place } from './contender.js';
import type { JavaScriptTask } from './javascript-child.js';
import { viewLayers } from './layered-view.js';
import { runNode } from './process.js';

interface Variant {
  id: string;
  title: string;
  how: JavaScriptTask['how'];
  kind: ContenderKind;
  digests: boolean;
  lacks: string[];
  tolerance: Tolerance;
  /** The npm package that does the work. */
  module: string;
}

// utimes() takes seconds as a double, and libuv cuts them to microseconds.
const microseconds = { time: 2000n, xattrs: true };
/** Both leave the time of a directory to what is written into it, and that of a symlink to its making. */
const wholeSeconds = { time: 1_000_000_000n, xattrs: true, directories: true, symlinks: true };
const always = ['xattrs and capabilities', 'nanoseconds', 'device nodes, so whiteouts too'];

const variants: Variant[] = [
  {
    id: 'javascript',
    title: 'JavaScript',
    how: 'async',
    kind: 'javascript',
    digests: true,
    lacks: always,
    tolerance: microseconds,
    module: 'tar-stream',
  },
  {
    id: 'javascript-sync',
    title: 'JavaScript, sync',
    how: 'sync',
    kind: 'javascript',
    digests: true,
    lacks: [...always, 'a responsive event loop'],
    tolerance: microseconds,
    module: 'tar-stream',
  },
  {
    id: 'tar-stream',
    title: 'tar-stream, plain',
    how: 'streams',
    kind: 'javascript',
    digests: true,
    lacks: always,
    tolerance: microseconds,
    module: 'tar-stream',
  },
  {
    id: 'node-tar',
    title: 'node-tar',
    how: 'node-tar',
    kind: 'peer',
    digests: false,
    lacks: ['digests', ...always, 'times of directories and symlinks'],
    tolerance: wholeSeconds,
    module: 'tar',
  },
  {
    id: 'tar-fs',
    title: 'tar-fs',
    how: 'tar-fs',
    kind: 'peer',
    digests: false,
    lacks: ['digests', ...always, 'times of directories and symlinks'],
    tolerance: wholeSeconds,
    module: 'tar-fs',
  },
];

/** All of them. `owners`: whether this user may set owners. */
export function javaScriptContenders(owners: boolean): Contender[] {
  return variants.map((variant) => javaScriptContender(variant, owners));
}

function javaScriptContender(variant: Variant, owners: boolean): Contender {
  const { id, title, kind, digests, lacks, how, module } = variant;
  const contender: Contender = {
    id,
    title,
    kind,
    digests,
    lacks: owners ? lacks : [...lacks, 'owners'],
    async absence({ image }): Promise<Absence | undefined> {
      const installed = moduleVersion(module);
      if (installed === undefined) {
        return {
          status: 'missing',
          reason: `the npm package ${module} is not installed`,
          install: `npm install ${module}`,
        };
      }
      contender.version = `${module} ${installed}, Node ${process.versions.node}`;
      const only = how === 'tar-fs' || how === 'node-tar' ? ['gzip', 'none'] : allFormats();
      if (how === 'tar-fs') {
        only.pop(); // it is put behind Node's gunzip
      }
      const other = image.layers.find(({ compression }) => !only.includes(compression));
      return (
        other && {
          status: 'unsuitable',
          reason: `a layer has the compression ${other.compression}, which it cannot read on Node ${process.versions.node}`,
        }
      );
    },
    async unpack({ image, signal }: Place, destination) {
      const layers = image.layers.map(({ path, offset, length, digest, diffID }) => {
        return { path, offset, length, digest, diffID };
      });
      const task: JavaScriptTask = { how, layers, destination, owners };
      const child = path.join(packageRoot, 'dist/bench/javascript-child.js');
      const { usage } = await runNode([child, JSON.stringify(task)], { signal });
      return { usage };
    },
    async view({ image, signal }, destination) {
      const tolerance = { ...variant.tolerance, owners: !owners };
      return viewLayers(destination, image.layers.length, tolerance, signal);
    },
  };
  return contender;
}

/** What Node's zlib reads: zstd since 22.15. */
function allFormats(): string[] {
  return ['gzip', 'none', ...(Number(process.versions.node.split('.')[0]) >= 22 ? ['zstd'] : [])];
}

function moduleVersion(module: string): string | undefined {
  const require = createRequire(import.meta.url);
  try {
    return (require(`${module}/package.json`) as { version: string }).version;
  } catch {
    return undefined;
  }
}
