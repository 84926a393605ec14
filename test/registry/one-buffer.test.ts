// What comes over connections that receive into one buffer is what was sent, however it is cut.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setTimeout as pause, setImmediate as tick } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { bufferBytes } from '../../src/registry/one-buffer.js';
import { readBytes, Transport } from '../../src/registry/transport.js';
import { sliceBytes } from '../../src/unpack/job-feed.js';

const tls = {}; // the same for all: they share connections
const timeouts = { connect: 5000, stall: 5000 };

/** A server that answers each request with what `answer` writes. */
async function withServer(
  answer: (socket: Socket) => unknown,
  use: (url: URL, transport: Transport) => Promise<void>,
): Promise<number> {
  let connections = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    connections++;
    socket.on('error', () => undefined);
    socket.on('data', () => void answer(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const transport = new Transport(timeouts);
  try {
    const { port } = server.address() as AddressInfo;
    await use(new URL(`http://127.0.0.1:${port}/blob`), transport);
    return connections;
  } finally {
    await transport.close();
    server.close();
  }
}

const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const headOf = (body: Buffer) =>
  `HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:${hash(body)}\r\nX-Long: ${'l'.repeat(5000)}\r\nContent-Length: ${body.length}\r\n\r\n`;

describe('one buffer for all connections', () => {
  it('gives headers that come byte by byte, or cut in the middle of a name or a value', async () => {
    const body = randomBytes(300_000);
    const head = headOf(body);
    for (const step of [1, 7, 19, 60, 5100]) {
      await withServer(
        async (socket) => {
          for (let at = 0; at < head.length; at += step) {
            socket.write(head.slice(at, at + step));
            if (at < 400) {
              await pause(1); // so that they come as pieces of their own
            }
          }
          socket.write(body);
        },
        async (url, transport) => {
          const answer = await transport.exchange({ method: 'GET', url, tls });
          expect(answer.headers['docker-content-digest']).toBe(`sha256:${hash(body)}`);
          expect(answer.headers['x-long']).toBe('l'.repeat(5000));
          expect(hash(await readBytes(answer, Number.POSITIVE_INFINITY))).toBe(hash(body));
        },
      );
    }
  });

  it('gives each of many bodies at once whole, to readers that make it wait', async () => {
    const body = randomBytes(6_000_000);
    await withServer(
      (socket) => socket.write(Buffer.concat([Buffer.from(headOf(body)), body])),
      async (url, transport) => {
        const read = async (number: number) => {
          const answer = await transport.exchange({ method: 'GET', url, tls });
          await tick();
          const hasher = createHash('sha256');
          let lent = 0;
          let pieces = 0;
          await answer.body.read((piece) => {
            hasher.update(piece);
            lent += piece.buffer.byteLength === bufferBytes ? 1 : 0;
            pieces++;
            const wait = (pieces * 7 + number) % 5;
            return wait === 0 ? pause(1) : wait === 1 ? Promise.resolve() : undefined;
          });
          expect(hasher.digest('hex')).toBe(hash(body));
          return lent;
        };
        const lent = await Promise.all([1, 2, 3, 4, 5, 6].map(read));
        expect(Math.min(...lent)).toBeGreaterThan(0);
        expect(bufferBytes).toBeLessThanOrEqual(sliceBytes);
      },
    );
  });

  it('keeps the connection for the next request', async () => {
    const connections = await withServer(
      (socket) => socket.write(`${headOf(Buffer.from('x'))}x`),
      async (url, transport) => {
        for (let round = 0; round < 5; round++) {
          const answer = await transport.exchange({ method: 'GET', url, tls });
          expect((await readBytes(answer, 100)).toString()).toBe('x');
          await tick();
        }
      },
    );
    expect(connections).toBe(1);
  });
});
