// A process that writes until it is killed, for processes.test.ts: writer-process.mjs ROOT MODE COUNT. It says
// after each commit what it committed.

import { writeSync } from 'node:fs';

// By its address: what dist/ is built from has the types, and dist/ need not be there to check them.
const { Database } = /** @type {typeof import('../../src/metadata/index.js')} */ (
  await import(new URL('../../dist/metadata/index.js', import.meta.url).href)
);

const [root = '', mode, count] = process.argv.slice(2);
const database = Database.open(root);
const target = { mediaType: 'a/b', digest: `sha256:${'a'.repeat(64)}`, size: 1 };

/** @type {Record<string, () => string>} */
const modes = {
  // A generation: 20 images that tell it, and a chain of snapshots of it instead of the last one's.
  generations: () =>
    database.update((tx) => {
      const last = Number(tx.images.find('image-0')?.labels.generation ?? 0);
      const generation = String(last + 1);
      const store = tx.snapshots('native');
      for (let n = 0; n < 20; n++) {
        tx.images.set({
          name: `image-${n}`,
          target,
          labels: { generation, by: String(process.pid) },
        });
      }
      for (const key of store.keys().sort().reverse()) {
        store.remove(key);
      }
      for (let n = 0; n < 4; n++) {
        const parent = n === 0 ? undefined : `${generation}-${n - 1}`;
        store.create({ key: 'active', kind: 'active', parent });
        store.commit('active', `${generation}-${n}`, {
          usage: { size: 1, inodes: 1 },
          durability: 'durable',
        });
      }
      return generation;
    }),
  counter: () =>
    database.update((tx) => {
      const value = Number(tx.images.find('counter')?.labels.value ?? 0) + 1;
      tx.images.set({ name: 'counter', target, labels: { value: String(value) } });
      tx.leases.create({ id: `lease-${value}` });
      return String(value);
    }),
};

const step = modes[mode ?? ''] ?? (() => process.exit(2));
for (let n = 0; n < Number(count); n++) {
  writeSync(1, `${step()}\n`);
}
await database.close();
