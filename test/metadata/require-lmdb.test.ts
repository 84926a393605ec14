import { expect, test } from 'vitest';
import { requireLmdb } from '../../src/metadata/require-lmdb.js';

test('lmdb without its binary: the error says what to type', () => {
  const load = () => {
    throw new Error('No native build was found');
  };
  const message = expect.stringMatching(/npm install --include=optional.*No native build/);
  expect(() => requireLmdb(load)).toThrow(
    expect.objectContaining({ code: 'ERR_UNSUPPORTED', message }),
  );
  expect(requireLmdb().open).toBeTypeOf('function');
});
