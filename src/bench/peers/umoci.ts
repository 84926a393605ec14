// `umoci raw unpack`: layer after layer into one tree, both digests checked.

import path from 'node:path';
import type { Contender } from '../contender.js';
import { viewDirectory } from '../layered-view.js';
import { writePlainLayout } from '../layout.js';
import { runProcess, versionOf } from '../process.js';

export function umociContender(): Contender {
  const contender: Contender = {
    id: 'umoci',
    title: 'umoci raw unpack',
    kind: 'peer',
    digests: true,
    lacks: [],
    async absence({ image, signal }) {
      contender.version = await versionOf('umoci', signal);
      if (contender.version === undefined) {
        const reason = 'umoci is not installed';
        return { status: 'missing', reason, install: 'apt-get install umoci' };
      }
      if (process.geteuid?.() !== 0) {
        return { status: 'unsuitable', reason: 'it needs root' };
      }
      return image.layers.some(({ compression }) => compression === 'zstd') &&
        / 0\.[0-4]\./.test(contender.version)
        ? { status: 'unsuitable', reason: 'zstd layers need umoci 0.5 or later' }
        : undefined;
    },
    async prepare({ image, home }) {
      await writePlainLayout(image, path.join(home, 'layout'));
    },
    async unpack({ home, signal }, destination) {
      const image = `${path.join(home, 'layout')}:latest`;
      const { usage } = await runProcess(
        'umoci',
        ['raw', 'unpack', '--image', image, destination],
        {
          signal,
        },
      );
      return { usage };
    },
    view: ({ signal }, destination, xattrs) => viewDirectory(destination, xattrs, signal),
  };
  return contender;
}
