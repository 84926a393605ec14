import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chainID, chainIDs } from '../../src/oci/index.js';

const sha256 = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const diffID = fc.uint8Array({ maxLength: 8 }).map((bytes) => sha256(bytes.join(',')));

describe('chainID', () => {
  it('is the diffID for one layer and empty for none', () => {
    const only = sha256('layer');
    expect(chainID([only])).toBe(only);
    expect(chainID([])).toBe('');
  });

  it('is the recursion of the image-spec, for every prefix', () => {
    const recursion = (ids: string[]): string =>
      ids.length === 1
        ? (ids[0] ?? '')
        : sha256(`${recursion(ids.slice(0, -1))} ${ids[ids.length - 1]}`);
    fc.assert(
      fc.property(fc.array(diffID, { minLength: 1, maxLength: 12 }), (ids) => {
        expect(chainIDs(ids)).toEqual(ids.map((_, at) => recursion(ids.slice(0, at + 1))));
        expect(chainID(ids)).toBe(chainIDs(ids).at(-1));
      }),
      { numRuns: 50 },
    );
  });

  it('hashes the text of the chain below, a space and the diffID', () => {
    // The cases of the image-spec's own test (identity/chainid_test.go).
    expect(chainID(['sha256:a', 'sha256:b'])).toBe(sha256('sha256:a sha256:b'));
    expect(chainID(['sha256:a', 'sha256:b', 'sha256:c'])).toBe(
      sha256(`${sha256('sha256:a sha256:b')} sha256:c`),
    );
  });

  it('tells orders apart', () => {
    expect(chainID([sha256('a'), sha256('b')])).not.toBe(chainID([sha256('b'), sha256('a')]));
  });
});
