// npm run test:corpus -- DIR [WORK]: runs the tests of real images on the OCI layouts in DIR, unpacking in WORK.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const [corpus, work] = process.argv.slice(2);
if (corpus === undefined) {
  console.error('usage: npm run test:corpus -- DIR [WORK]   (DIR holds OCI layouts)');
  process.exit(2);
}
const root = fileURLToPath(new URL('../..', import.meta.url));
const { status } = spawnSync(
  process.execPath,
  [
    'node_modules/vitest/vitest.mjs',
    'run',
    'test/integration/corpus.test.ts',
    'test/integration/store-corpus.test.ts',
    'test/integration/pull-corpus.test.ts',
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      CORPUS: path.resolve(corpus),
      ...(work === undefined ? {} : { CORPUS_WORK: path.resolve(work) }),
    },
  },
);
process.exit(status ?? 1);
