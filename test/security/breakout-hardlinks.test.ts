// Hard links that aim outside of the root, directly, through symlinks, or through what will be a symlink later.

import { describe } from 'vitest';
import { hostile } from '../support/hostile.js';
import { dir, file, hardlink, symlink } from '../support/tar-builder.js';

describe('hard links out of the root', () => {
  hostile('relative, up and out', {
    layers: () => [[hardlink('h', '../../../secret')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('down, up and out', {
    layers: () => [[dir('a/b'), hardlink('h', 'a/b/../../../../secret')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('absolute with .. in front', {
    layers: () => [[hardlink('h', '/../secret')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('absolute: it is looked for inside the root', {
    layers: (c) => [[hardlink('h', c.at('secret'))]],
    refused: 'ERR_LINK_TARGET',
  });

  hostile('absolute to a path that is there inside the root', {
    layers: (c) => [[file(c.at('secret'), 'inner'), hardlink('h', c.at('secret'))]],
    contains: ['h 5'],
  });

  hostile('through an absolute symlink', {
    layers: (c) => [[symlink('out', c.root), hardlink('h', 'out/secret')]],
    refused: 'ERR_LINK_TARGET',
  });

  hostile('through a symlink up and out', {
    layers: () => [[symlink('out', '../../../..'), hardlink('h', 'out/secret')]],
    refused: 'ERR_LINK_TARGET',
  });

  hostile('through a symlink of the lower layer', {
    layers: (c) => [[symlink('out', c.root)], [hardlink('h', 'out/secret')]],
    refused: 'ERR_LINK_TARGET',
  });

  hostile('to a symlink that leads out: the symlink is linked, not its target', {
    layers: (c) => [[symlink('s', c.at('secret')), hardlink('h', 's', { mode: 0o777, uid: 12 })]],
  });

  hostile('to such a symlink in the lower layer', {
    layers: (c) => [[symlink('s', c.at('victim/file'))], [hardlink('h', 's', { mode: 0o4777 })]],
  });

  hostile('a file written over a hard link of a symlink that leads out', {
    layers: (c) => [[symlink('s', c.at('victim/file')), hardlink('h', 's'), file('h', 'owned')]],
    contains: ['h 5'],
  });

  hostile('a file through a hard link of a symlink to a directory outside', {
    layers: (c) => [[symlink('s', c.at('victim')), hardlink('h', 's'), file('h/owned')]],
  });

  hostile('waiting for a target, and its directory then becomes a symlink that leads out', {
    layers: (c) => [
      [
        hardlink('door/escaped', 'victim-file'),
        symlink('door', c.at('victim')),
        file('victim-file'),
      ],
    ],
  });

  hostile('waiting for a target whose directory becomes a symlink that leads out', {
    layers: (c) => [[hardlink('h', 'door/secret'), symlink('door', c.root)]],
    refused: 'ERR_LINK_TARGET',
  });

  hostile('to the root', { layers: () => [[hardlink('h', '/')]], refused: 'ERR_INVALID_ENTRY' });

  hostile('to the directory above', {
    layers: () => [[hardlink('h', '..')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('to a directory', {
    layers: () => [[dir('d'), hardlink('h', 'd')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('to a directory of the lower layer', {
    layers: () => [[dir('d')], [hardlink('h', 'd')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('to itself', {
    layers: () => [[file('h')], [hardlink('h', './x/../h')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('two that wait for each other', {
    layers: () => [[hardlink('a', 'b'), hardlink('b', 'a')]],
    refused: 'ERR_LINK_TARGET',
  });

  hostile('to nothing', { layers: () => [[hardlink('h', 'nothing')]], refused: 'ERR_LINK_TARGET' });

  hostile('with an empty target', {
    layers: () => [[hardlink('h', '')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('to the directory that it would replace', {
    layers: () => [[file('d/f'), hardlink('d', 'd/f')]],
    refused: 'ERR_LINK_TARGET',
  });
});
