// Attributes that act on one another: what is on disk in the end is what the tar says (SEMANTICS.md, "Metadata, in this
// order").

import { expect, it } from 'vitest';
import { expectRefused, unpackLayers } from '../support/image.js';
import { dir, fifo, file } from '../support/tar-builder.js';

it('the mode of the tar wins over the one that an access ACL implies', async () => {
  const open = { pax: [['SCHILY.acl.access', 'user::rwx,group::rwx,other::rwx']] as const };
  const closed = { pax: [['SCHILY.acl.access', 'user::rwx,group::---,other::---']] as const };
  const { tree } = await unpackLayers([
    [
      file('file', 'x', { mode: 0o600, ...open }),
      file('empty', '', { mode: 0o640, ...open }),
      fifo('fifo', { mode: 0o600, ...open }),
      dir('dir', { mode: 0o755, ...closed }),
    ],
  ]);
  const modes = ['file', 'empty', 'fifo', 'dir'].map((name) => tree.get(name)?.mode);
  expect(modes).toEqual([0o600, 0o640, 0o600, 0o755]);
});

it.each<[string, string, Buffer]>([
  ['a value that is none', 'security.capability', Buffer.from('xx')],
  ['a value that is too long', 'user.x', Buffer.alloc(65_537)],
  ['a name that is too long', `user.${'n'.repeat(251)}`, Buffer.from('x')],
])('an xattr that the kernel refuses: %s', async (_, name, value) => {
  const layers = [[file('f', 'x', { xattrs: { [name]: value } })]];
  await expectRefused(layers, 'ERR_XATTR_UNSUPPORTED');
  const { tree, report } = await unpackLayers(layers, { policies: { xattrs: 'best-effort' } });
  expect(tree.get('f')?.xattrs).toEqual({});
  expect(report.warnings).toMatchObject([{ kind: 'xattr-failed', path: 'f' }]);
});
