// Repairs the store ROOT, until it is killed. Says `go` before it begins.

import { Store } from '../../dist/index.js';

const [root] = process.argv.slice(2);
const store = await Store.open(root, { durability: 'wait' });
process.stdout.write('go\n');
await store.verify({ repair: true });
await store.close();
