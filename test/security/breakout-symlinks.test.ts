// Symlinks that lead out of the root (containerd's table of breakouts, and more): they are made as they are, since a
// container may have any symlink, and everything that goes through them stays inside the root.

import { describe } from 'vitest';
import { hostile } from '../support/hostile.js';
import { dir, file, hardlink, symlink, whiteout } from '../support/tar-builder.js';

describe('symlinks out of the root', () => {
  hostile('an absolute symlink to a directory outside, and a file through it', {
    layers: (c) => [[symlink('out', c.at('victim')), file('out/owned', 'x')]],
  });

  hostile('a relative symlink up and out, and a file through it', {
    layers: () => [[symlink('out', '../../../../../victim'), file('out/owned', 'x')]],
    contains: ['victim/owned 1'],
  });

  hostile('the same, the symlink in a lower layer', {
    layers: () => [[symlink('out', '../../../../../victim')], [file('out/owned', 'x')]],
    contains: ['victim/owned 1'],
  });

  hostile('the same, the symlink two layers down', {
    layers: (c) => [
      [symlink('out', c.at('victim'))],
      [dir('other')],
      [file('out/file', 'overwritten')],
    ],
  });

  hostile('a symlink to a file outside, then a file of its name: replaced, not written through', {
    layers: (c) => [[symlink('passwd', c.at('victim/file')), file('passwd', 'owned')]],
    contains: ['passwd 5'],
  });

  hostile('the same across layers', {
    layers: (c) => [[symlink('passwd', c.at('victim/file'))], [file('passwd', 'owned')]],
    contains: ['passwd 5'],
  });

  hostile('two absolute symlinks chained', {
    layers: (c) => [[symlink('a', '/b'), symlink('b', c.root), file('a/victim/file', 'x')]],
  });

  hostile('relative symlinks chained, each one step up', {
    layers: () => [
      [
        dir('d/e'),
        symlink('d/e/up', '..'),
        symlink('d/up', '..'),
        symlink('up', '..'),
        file('d/e/up/up/up/up/victim/owned', 'x'),
      ],
    ],
    contains: ['victim/owned 1'],
  });

  hostile('a symlink through a symlink of the lower layer', {
    layers: (c) => [
      [symlink('a', c.root)],
      [symlink('a/victim/link', '/'), file('a/victim/link/owned')],
    ],
    contains: ['owned 0'],
  });

  hostile('a directory entry over a symlink that leads out makes a directory', {
    layers: (c) => [
      [symlink('victim', c.at('victim'))],
      [dir('victim', { mode: 0o777 }), file('victim/f')],
    ],
    contains: ['victim/', 'victim/f 0'],
  });

  hostile('a symlink in the place of a directory that has entries', {
    layers: (c) => [[dir('d'), file('d/x'), symlink('d', c.at('victim')), file('d/owned')]],
  });

  hostile('a directory, a symlink in its place, the directory again', {
    layers: (c) => [[dir('d'), symlink('d', c.at('victim')), dir('d'), file('d/file', 'mine')]],
    contains: ['d/', 'd/file 4'],
  });

  hostile('a symlink to itself as a parent', {
    layers: () => [[symlink('loop', 'loop'), file('loop/x')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('two symlinks that lead to each other as a parent, across layers', {
    layers: () => [[symlink('a', 'b'), symlink('b', 'a')], [file('a/x')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a chain of 60 symlinks as a parent', {
    layers: () => [
      [
        ...Array.from({ length: 60 }, (_, i) => symlink(`s${i}`, `s${i + 1}`)),
        dir('s60'),
        file('s0/x'),
      ],
    ],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a magic link of /proc as a parent', {
    layers: () => [[symlink('root', '/proc/self/root'), file('root/owned')]],
    contains: ['proc/self/root/owned 0'],
  });

  hostile('a magic link of /proc to the working directory, in a lower layer', {
    layers: () => [[symlink('cwd', '/proc/self/cwd')], [file('cwd/owned')]],
    contains: ['proc/self/cwd/owned 0'],
  });

  hostile('device files of the host behind a symlink are not opened', {
    layers: () => [[symlink('dev', '/dev')], [file('dev/null', 'x'), file('dev/shm/owned', 'x')]],
    // `/dev` leads to itself: 40 symlinks are not enough.
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a symlink of the greatest length there can be', {
    layers: () => [[symlink('long', `${'../'.repeat(1000)}victim`), file('long/owned')]],
    contains: ['victim/owned 0'],
  });

  for (const length of [256, 257, 4095]) {
    const led = symlink('s', 'n'.repeat(length));
    hostile(`a symlink to a name of ${length} bytes, and a file below it`, {
      layers: () => [[led, file('s/x')]],
      refused: 'ERR_INVALID_ENTRY',
    });
    hostile(`the same, the symlink of ${length} bytes in a lower layer`, {
      layers: () => [[led], [file('s/x')]],
      refused: 'ERR_INVALID_ENTRY',
    });
    hostile(`a lower symlink to a name of ${length} bytes, and a whiteout below it`, {
      layers: () => [[led], [whiteout('s/x')]],
      refused: 'ERR_INVALID_ENTRY',
    });
  }

  hostile('a symlink that is longer than any can be', {
    layers: () => [[symlink('long', 'x'.repeat(4096))]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a symlink with xattrs and a mode: neither reaches its target', {
    layers: (c) => [
      [
        symlink('s', c.at('victim/file'), {
          mode: 0o4777,
          uid: 1,
          gid: 1,
          xattrs: { 'trusted.x': '1' },
        }),
      ],
    ],
  });

  hostile('a fifo outside behind a symlink is not opened', {
    layers: (c) => [[symlink('pipe', c.at('pipe'))], [file('pipe', 'x'), hardlink('p', 'pipe')]],
    contains: ['pipe 1', 'p 1'],
  });
});
