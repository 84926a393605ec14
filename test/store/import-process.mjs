// Imports images into a store, until it is killed: ROOT DURABILITY REFERENCE... Says `go` before the first and `done N`
// after each.

import { Store } from '../../dist/index.js';

const [root, durable, ...references] = process.argv.slice(2);
const durability = /** @type {import('../../dist/index.js').StoreDurability} */ (durable);
process.stdout.write('go\n');
const store = await Store.open(root, { durability });
for (const [index, reference] of references.entries()) {
  await store.import(reference);
  process.stdout.write(`done ${index}\n`);
}
await store.close();
