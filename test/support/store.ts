// Stores for tests.

import path from 'node:path';
import { Store, type StoreOptions } from '../../src/index.js';
import { withScratch } from './scratch.js';

/** Runs `work` with a store of its own. */
export function withStore<T>(
  work: (store: Store, scratch: string) => Promise<T>,
  options: StoreOptions = {},
): Promise<T> {
  return withScratch(async (scratch) => {
    const store = await Store.open(path.join(scratch, 'store'), options);
    try {
      return await work(store, scratch);
    } finally {
      await store.close();
    }
  });
}
