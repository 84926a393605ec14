// What the rest of src/ uses of src/bolt/.

export { BoltBucket, type BoltEntry } from './bucket.js';
export { BoltFile, type BoltOptions } from './file.js';
export type { BoltTransaction } from './transaction.js';
