// Names that leave the root, name nothing, or cannot be names.

import { describe } from 'vitest';
import { hostile } from '../support/hostile.js';
import { dir, fifo, file, gnuLong, hardlink, symlink, tar } from '../support/tar-builder.js';

describe('names', () => {
  for (const name of [
    '..',
    '../',
    '../x',
    '/..',
    '/../x',
    './../x',
    'a/../../x',
    'a/b/../../../x',
    '..//x',
  ]) {
    hostile(`${name} leaves the root`, {
      layers: () => [[file(name, 'x')]],
      refused: 'ERR_INVALID_ENTRY',
    });
  }

  hostile('a directory entry that leaves the root', {
    layers: () => [[dir('../victim', { mode: 0o777 })]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('absolute names are names below the root', {
    layers: (c) => [[file(c.at('secret'), 'inner'), dir(c.at('victim'), { mode: 0o700 })]],
  });

  hostile('an empty name', { layers: () => [[file('')]], refused: 'ERR_INVALID_ENTRY' });

  hostile('an empty name of a directory', {
    layers: () => [[{ type: 'directory', path: '' }]],
    refused: 'ERR_INVALID_ENTRY',
  });

  for (const name of ['.', './', '/', './.', 'a/..']) {
    hostile(`the root (${name}) as a file`, {
      layers: () => [[file(name, 'x')]],
      refused: 'ERR_INVALID_ENTRY',
    });
    hostile(`the root (${name}) as a symlink that leads out`, {
      layers: (c) => [[symlink(name, c.root), file('secret', 'x')]],
      refused: 'ERR_INVALID_ENTRY',
    });
  }

  hostile('the root as a hard link', {
    layers: () => [[file('f'), hardlink('.', 'f')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('the root as a fifo', {
    layers: () => [[fifo('./')]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a pax path with a NUL in it', {
    layers: () => [tar([file('a', '', { pax: [['path', Buffer.from('a\0b')]] })])],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a pax linkpath with a NUL in it', {
    layers: () => [tar([symlink('a', 'x', { pax: [['linkpath', Buffer.from('x\0y')]] })])],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a pax path that is empty', {
    layers: () => [tar([file('a', '', { pax: [['path', '']] })])],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a pax path that leaves the root, over a harmless one', {
    layers: () => [tar([file('harmless', 'x', { pax: [['path', '../secret']] })])],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a GNU long name that leaves the root', {
    layers: () => [tar([{ raw: gnuLong('L', '../secret') }, file('harmless', 'x')])],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a GNU long link that leaves the root', {
    layers: () => [tar([{ raw: gnuLong('K', '../../../secret') }, hardlink('h', 'harmless')])],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a GNU sparse name that leaves the root', {
    layers: () => [
      tar([
        {
          type: 'file',
          path: '../../../secret',
          sparse: { size: 10, extents: [] },
          sparseForm: '1.0',
        },
      ]),
    ],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a global path that leaves the root', {
    layers: () => [tar([{ global: [['path', '../secret']] }, file('harmless', 'x')])],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('a component of 256 bytes', {
    layers: () => [[file('x'.repeat(256))]],
    refused: 'ERR_INVALID_ENTRY',
  });

  hostile('slash-ended names of files and symlinks', {
    layers: (c) => [[file('f/', 'x'), symlink('s/', c.at('victim')), file('s', 'mine')]],
    contains: ['f 1', 's 4'],
  });
});
