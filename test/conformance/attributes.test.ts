// Attributes that act on one another: what is on disk in the end is what the tar says (SEMANTICS.md, "Metadata, in this
// order").

import { chmod, chown, lstat, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { expectRefused, unpack, unpackLayers } from '../support/image.js';
import { withScratch } from '../support/scratch.js';
import { dir, fifo, file } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

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

it.each([
  ['overlay', 'layers/000/fs'],
  ['flat', 'rootfs'],
] as const)(
  'format %s: a root that no layer names inherits nothing from where it is made',
  async (format, root) => {
    await withScratch(async (scratch) => {
      const reference = await writeImage(path.join(scratch, 'layout'), [[file('a')], [file('b')]]);
      const destination = path.join(scratch, 'shared');
      await mkdir(destination);
      await chown(destination, 0, 33);
      await chmod(destination, 0o2777);
      await unpack(reference, destination, { format });
      const { mode, gid } = await lstat(path.join(destination, root));
      expect({ mode: mode & 0o7777, gid }).toEqual({ mode: 0o755, gid: 0 });
    });
  },
);
