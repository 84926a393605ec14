// A network of a given speed on the loopback interface: passes bytes on to a server, those that come back no faster than
// that, all connections together.

import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface Throttle {
  /** `127.0.0.1:PORT`. */
  host: string;
  /** Bytes that have come back. */
  bytes: number;
  close(): Promise<void>;
}

/** Bytes that may be sent at once after a pause; at 1 Gbit/s those of 2 ms. */
const burst = 256 * 1024;

/** @param rate bytes per second; undefined: as fast as it goes */
export async function startThrottle(
  target: { host: string; port: number },
  rate: number | undefined,
): Promise<Throttle> {
  const sockets = new Set<Socket>();
  const bucket = rate === undefined ? undefined : new Bucket(rate);
  const server = createServer((client) => {
    const upstream = connect(target);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on('data', (chunk: Buffer) => {
      throttle.bytes += chunk.length;
      const drained = client.write(chunk);
      const wait = bucket?.take(chunk.length) ?? 0;
      if (wait >= 1 || !drained) {
        upstream.pause();
        const resume = () => setTimeout(() => upstream.resume(), wait);
        if (drained) {
          resume();
        } else {
          client.once('drain', resume);
        }
      }
    });
    upstream.on('end', () => client.end());
  });
  await listen(server);
  const throttle: Throttle = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    bytes: 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) {
          socket.destroy();
        }
      }),
  };
  return throttle;
}

/** Hands out bytes at a rate; what was taken too early must be waited for. */
class Bucket {
  readonly #rate: number;
  #paidUntil = performance.now();

  constructor(rate: number) {
    this.#rate = rate / 1000;
  }

  /** Milliseconds to wait after these bytes. */
  take(bytes: number): number {
    const now = performance.now();
    this.#paidUntil = Math.max(this.#paidUntil, now - burst / this.#rate) + bytes / this.#rate;
    return Math.max(0, this.#paidUntil - now);
  }
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', () => resolve());
  });
}
