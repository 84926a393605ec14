// The demo's top layer links to a file of a lower one, at which others fail; the bench's has them all run.

import { expect, test } from 'vitest';
import { changeLayer } from '../../src/demo/change-layer.js';
import { directory, file } from '../../src/demo/entry.js';

const npm = 'usr/lib/node_modules/npm';
const lower = { title: 'npm', entries: [directory(npm), file(`${npm}/LICENSE`, 'text')] };

/** The targets of the layer's hardlinks that it does not have itself. */
function targetsBelow(forPeers: boolean): (string | undefined)[] {
  const { entries } = changeLayer([lower], forPeers);
  const own = new Set(entries.map(({ path }) => path));
  const links = entries.filter(({ type }) => type === 'hardlink');
  expect(links.length).toBeGreaterThan(1);
  return links.map(({ target }) => target).filter((target) => !own.has(target ?? ''));
}

test('a hardlink to a lower layer is in the demo alone', () => {
  expect(targetsBelow(false)).toEqual([`${npm}/LICENSE`]);
  expect(targetsBelow(true)).toEqual([]);
});
