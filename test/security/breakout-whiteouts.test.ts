// Whiteouts and opaque markers that aim outside of the root, and markers that name nothing or too much.

import { describe } from 'vitest';
import { hostile } from '../support/hostile.js';
import { device, dir, file, opaque, symlink, whiteout } from '../support/tar-builder.js';

describe('whiteouts out of the root', () => {
  hostile('of a name outside by ..', {
    layers: () => [[file('a')], [file('../.wh.secret')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('through an absolute symlink of the lower layer', {
    layers: (c) => [[symlink('out', c.root)], [whiteout('out/secret'), whiteout('out/victim')]],
  });

  hostile('through a symlink up and out', {
    layers: () => [[symlink('out', '../../../..')], [whiteout('out/secret')]],
  });

  hostile('through a symlink of the same layer', {
    layers: (c) => [[file('a')], [symlink('out', c.root), whiteout('out/secret')]],
  });

  hostile('of a symlink: the symlink goes, not its target', {
    layers: (c) => [[symlink('out', c.at('victim'))], [whiteout('out')]],
    result: [],
  });

  hostile('opaque through a symlink that leads out', {
    layers: (c) => [[symlink('out', c.at('victim'))], [opaque('out')]],
  });

  hostile('opaque through a chain of symlinks across layers', {
    layers: (c) => [[symlink('a', 'b')], [symlink('b', c.root)], [opaque('a/victim')]],
  });

  for (const name of ['.wh.', '.wh..', '.wh...', 'd/.wh.', 'd/.wh..', 'd/.wh...']) {
    hostile(`${name}: neither the directory nor the one above it`, {
      layers: () => [[file('d/keep')], [file(name)]],
      refused: 'ERR_INVALID_ENTRY',
    });
  }

  hostile('a whiteout as a directory with entries', {
    layers: () => [[file('d/x')], [dir('.wh.d'), file('.wh.d/x')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a device 0:0, which overlayfs would take for a whiteout', {
    layers: () => [[file('x')], [device('x', 'char', 0, 0)]],
    refused: 'ERR_DEVICE',
  });

  hostile('a device 0:0, accepted: a whiteout that obeys the same rules', {
    layers: (c) => [
      [file('x'), symlink('out', c.root)],
      [device('x', 'char', 0, 0), device('out/secret', 'char', 0, 0)],
    ],
    options: { policies: { deviceWhiteouts: 'accept' } },
  });

  hostile('overlay xattrs that would hide what lies below', {
    layers: () => [
      [file('d/keep')],
      [
        dir('d', { xattrs: { 'trusted.overlay.opaque': 'y', 'user.overlay.opaque': 'y' } }),
        file('w', '', { xattrs: { 'trusted.overlay.whiteout': '', 'user.overlay.whiteout': '' } }),
      ],
    ],
    contains: ['d/keep 0', 'w 0'],
  });

  hostile('overlay xattrs that would show another file', {
    layers: () => [
      [file('secret', '1'), dir('hidden'), file('hidden/x')],
      [
        dir('d', { xattrs: { 'trusted.overlay.redirect': '/hidden' } }),
        file('f', '', {
          xattrs: { 'trusted.overlay.redirect': '/secret', 'trusted.overlay.metacopy': '' },
        }),
        file('o', '', { xattrs: { 'trusted.overlay.origin': Buffer.alloc(20, 1) } }),
      ],
    ],
  });

  hostile('overlay xattrs, policy error', {
    layers: () => [[dir('d', { xattrs: { 'trusted.overlay.opaque': 'y' } })]],
    options: { policies: { overlayXattrs: 'error' } },
    refused: 'ERR_OVERLAY_XATTR',
  });
});
