// A process that writes blobs until it is killed, for processes.test.ts: ingest-process.mjs ROOT MODE SEED. It says
// after each commit which blob it committed.

import { createHash } from 'node:crypto';
import fs, { writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const [root = '', mode, seed = ''] = process.argv.slice(2);
let calls = 0;
if (mode === 'dying') {
  // Dies at the SEED-th call that changes the file system, instead of it.
  for (const [owner, names] of /** @type {[any, string[]][]} */ ([
    [
      fs,
      [
        ...['openSync', 'writeFileSync', 'renameSync', 'unlinkSync', 'fsyncSync'],
        ...['mkdirSync', 'rmdirSync'],
      ],
    ],
    [fs.promises, ['open', 'unlink']],
  ])) {
    for (const name of names) {
      const original = owner[name];
      owner[name] = (/** @type {unknown[]} */ ...args) => {
        if (++calls === Number(seed)) {
          process.kill(process.pid, 'SIGKILL');
        }
        return original(...args);
      };
    }
  }
  syncBuiltinESMExports();
}

// By its address: what dist/ is built from has the types, and dist/ need not be there to check them.
const { ContentStore } = /** @type {typeof import('../../src/content/index.js')} */ (
  await import(new URL('../../dist/content/index.js', import.meta.url).href)
);
const { Database } = /** @type {typeof import('../../src/metadata/index.js')} */ (
  await import(new URL('../../dist/metadata/index.js', import.meta.url).href)
);

const database = Database.open(root);
const content = new ContentStore({ root, database });

/** @param {string} text */
const blobOf = (text) => Buffer.alloc(20_000 + text.length, `${text} `);
/** @param {Buffer} bytes */
const digestOf = (bytes) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

if (mode === 'slow') {
  // One blob of which half is written, and then nothing.
  const writer = await content.writer('slow', { size: 200_000 });
  await writer.write(Buffer.alloc(100_000, 'x'));
  writeSync(1, 'half\n');
  await sleep(1_000_000);
} else if (mode === 'one') {
  let reads = 0;
  const info = await content.ingest(
    'one',
    async function* () {
      reads++;
      for (let n = 0; n < 20; n++) {
        await sleep(10);
        yield Buffer.alloc(10_000, 'x');
      }
    },
    { size: 200_000, digest: digestOf(Buffer.alloc(200_000, 'x')) },
  );
  writeSync(1, `${reads} ${info.digest}\n`);
} else if (mode === 'dying') {
  const { digest } = await content.ingest('dying', [blobOf('x')]);
  writeSync(1, 'written\n');
  await content.delete(digest);
  writeSync(1, 'deleted\n');
} else {
  for (let n = 0; ; n++) {
    const bytes = blobOf(`${seed} ${n}`);
    const { digest } = await content.ingest(`ref ${n % 3} of ${process.pid}`, [bytes]);
    writeSync(1, `${digest}\n`);
    if (n % 4 === 3) {
      await content.delete(digest);
    }
  }
}
await database.close();
