// `npm run bench:micro` takes a while, and no compiler looks at what it loads: that it is there.

import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');

test('bench:micro loads what there is', async () => {
  const text = await readFile(path.join(root, 'bench/micro/micro.mjs'), 'utf8');
  const loads = [...text.matchAll(/^const \{ (.+) \} = await load\('(.+)'\);$/gm)];
  expect(loads.length).toBeGreaterThan(5);
  const script = loads.map(([, names, file]) => {
    const url = path.join(root, 'dist', file ?? '');
    return `{ const { ${names} } = await import('${url}'); console.log([${names}].every(Boolean)); }`;
  });
  // In a process of its own: Vitest would transform all of dist/.
  const args = ['--input-type=module', '-e', script.join('\n')];
  const output = execFileSync(process.execPath, args, { encoding: 'utf8' });
  expect(output.trim().split('\n')).toEqual(Array(loads.length).fill('true'));
});
