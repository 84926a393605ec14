import { expect, test } from 'vitest';
import { ambiguous } from '../../src/source/choose-entry.js';

test('several that fit are told without comparing each with all', () => {
  const count = 2000;
  let looks = 0;
  const entries = Array.from({ length: count }, (_, n) => ({
    get names() {
      looks++;
      return [`name${n}`];
    },
  }));
  const { message } = ambiguous(entries, entries, 'oci:x');
  expect(message).toMatch(/:name0, :name1, .*:name49 and 1950 more$/);
  expect(looks).toBeGreaterThanOrEqual(count);
  expect(looks).toBeLessThan(10 * count);
});
