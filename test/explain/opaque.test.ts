// The explanation as a user runs it: really mounted, really read, found and healed; as root and in a user namespace.

import { readdir } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { startCommand } from '../support/command.js';
import { withScratch } from '../support/scratch.js';

const root = process.geteuid?.() === 0;

test.skipIf(!root).each([
  ['as root', [], 'trusted.overlay.opaque'],
  ['in a user namespace', ['unshare', '-Urm'], 'user.overlay.opaque'],
])('%s', { timeout: 60_000 }, async (_, wrapper, xattr) => {
  await withScratch(async (scratch) => {
    const running = startCommand(['explain', 'opaque', '--json', '--dir', scratch], { wrapper });
    const { code, stdout, stderr } = await running.result;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      topic: 'opaque',
      xattr,
      verify: {
        findings: [{ kind: 'leaked-opaque', path: 'app/plugins' }],
        signatures: [{ id: 'opaque-copy-up' }],
        hidden: { paths: ['app/plugins/auth', 'app/plugins/cache'], total: 2 },
        repaired: true,
        clean: true,
      },
    });
    expect(await readdir(scratch)).toEqual([]);
  });
});
