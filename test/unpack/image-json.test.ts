import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { warningMeanings } from '../../src/cli/warnings-summary.js';
import { imageMounts, layerPath, parseImageJson } from '../../src/unpack/image-json.js';

test('layers are numbered from the bottom, in order of their names', () => {
  expect([layerPath(0), layerPath(41), layerPath(1000)]).toEqual([
    'layers/000/fs',
    'layers/041/fs',
    'layers/1000/fs',
  ]);
});

test('one layer is a read-only bind', () => {
  expect(imageMounts('/d', 'overlay', ['layers/000/fs'])).toEqual([
    { type: 'bind', source: '/d/layers/000/fs', options: ['ro', 'rbind'] },
  ]);
});

test('more layers are an overlay, the top first', () => {
  expect(imageMounts('/d', 'overlay', ['a', 'b', 'c'])).toEqual([
    { type: 'overlay', source: 'overlay', options: ['lowerdir=/d/c:/d/b:/d/a'] },
  ]);
  expect(imageMounts('/d', 'overlay-userxattr', ['a', 'b'])).toEqual([
    { type: 'overlay', source: 'overlay', options: ['userxattr', 'lowerdir=/d/b:/d/a'] },
  ]);
});

test('what overlayfs would split at is escaped', () => {
  expect(imageMounts('/a:b,c\\d', 'overlay', ['x', 'y'])[0]?.options).toEqual([
    'lowerdir=/a\\:b\\,c\\\\d/y:/a\\:b\\,c\\\\d/x',
  ]);
});

test('flat and aufs', () => {
  expect(imageMounts('/d', 'flat', ['rootfs', 'rootfs'])).toEqual([
    { type: 'bind', source: '/d/rootfs', options: ['ro', 'rbind'] },
  ]);
  expect(imageMounts('/d', 'aufs', ['a', 'b'])).toEqual([
    { type: 'aufs', source: 'none', options: ['ro', 'br:/d/b=ro+wh:/d/a=ro+wh'] },
  ]);
});

test('an image without layers has no mount', () => {
  expect(imageMounts('/d', 'overlay', [])).toEqual([]);
});

test.each([
  'null',
  '{',
  '{}',
  '{"manifestDigest":"sha256:00","format":"overlay","layers":[{"path":"../../etc"}],"warnings":[]}',
  '{"manifestDigest":"sha256:00","format":"overlay","layers":[{"path":"/etc"}],"warnings":[]}',
])('%s is no image.json', (text) => {
  expect(parseImageJson(text)).toBeUndefined();
});

test('docs/image-json.md and the summary have the kinds of warnings that the addon documents', async () => {
  const contract = await readFile('src/native/binding.d.ts', 'utf8');
  const list = /Kinds: ([^.]*)\./.exec(contract)?.[1] ?? '';
  const kinds = [...list.matchAll(/`([a-z-]+)`/g)].map(([, kind]) => kind ?? '').sort();
  expect(kinds.length).toBeGreaterThan(5);
  expect(Object.keys(warningMeanings).sort()).toEqual(kinds);
  const page = await readFile('docs/image-json.md', 'utf8');
  const [, table = ''] = page.split('| kind | what happened |');
  expect([...table.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, kind]) => kind).sort()).toEqual(kinds);
});
