import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { readText, Transport } from '../../src/registry/transport.js';

test('a request that follows on the text of an answer goes over the same connection', async () => {
  let connections = 0;
  const server = createServer((request, response) => response.end(request.url));
  server.on('connection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const transport = new Transport({ connect: 5000, stall: 5000 });
  try {
    const { port } = server.address() as AddressInfo;
    const tls = {};
    for (const name of ['/manifest', '/config', '/layer']) {
      const url = new URL(`http://127.0.0.1:${port}${name}`);
      expect(await readText(await transport.exchange({ method: 'GET', url, tls }))).toBe(name);
    }
    expect(connections).toBe(1);
  } finally {
    await transport.close();
    server.close();
  }
});
