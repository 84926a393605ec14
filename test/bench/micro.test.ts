// `npm run bench:micro` takes a while, and no compiler looks at what it loads: that it is there.

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';

const script = path.resolve(import.meta.dirname, '../../bench/micro/micro.mjs');

test('bench:micro loads what there is', async () => {
  const text = await readFile(script, 'utf8');
  const loads = [...text.matchAll(/^const \{ (.+) \} = await load\('(.+)\.js'\);$/gm)];
  expect(loads.length).toBeGreaterThan(5);
  for (const [, names = '', file] of loads) {
    const loaded = (await import(path.resolve('dist', `${file}.js`))) as Record<string, unknown>;
    for (const name of names.split(', ')) {
      expect({ file, name, type: typeof loaded[name] }).toEqual({ file, name, type: 'function' });
    }
  }
});
