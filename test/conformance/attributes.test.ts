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
