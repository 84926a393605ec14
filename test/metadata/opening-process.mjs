// Opens and closes the metadata of ROOT again and again, until it is killed.

import { Database } from '../../dist/metadata/index.js';

const [root = ''] = process.argv.slice(2);
process.stdout.write('go\n');
for (let at = 0; ; at++) {
  const database = Database.open(root, { readOnly: at % 2 === 0 });
  await database.close();
}
