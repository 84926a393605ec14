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

/** What may be sent at once after a pause, in milliseconds of the rate: as much as this process may come too late. */
const burstMilliseconds = 100;
const pieceBytes = 256 * 1024;

/** @param rate bytes per second */
export async function startThrottle(
  target: { host: string; port: number },
  rate: number,
): Promise<Throttle> {
  const sockets = new Set<Socket>();
  const bucket = new Bucket(rate);
  const server = createServer((client) => {
    const pass = (length: number, buffer: Uint8Array): boolean => {
      throttle.bytes += length;
      client.write(buffer.subarray(0, length), () => {
        const wait = bucket.take(length);
        if (wait >= 1) {
          setTimeout(() => upstream.resume(), wait);
        } else {
          upstream.resume();
        }
      });
      return false; // nothing more until it is written: the buffer is used again
    };
    const onread = { buffer: Buffer.allocUnsafe(pieceBytes), callback: pass };
    const upstream = connect({ ...target, onread });
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
    this.#paidUntil = Math.max(this.#paidUntil, now - burstMilliseconds) + bytes / this.#rate;
    return Math.max(0, this.#paidUntil - now);
  }
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', () => resolve());
  });
}
