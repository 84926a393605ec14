// A reverse proxy in front of a registry that does wrong on demand, and keeps what it was asked.

import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** What arrived. */
export interface Seen {
  method: string;
  /** Path and query. */
  url: string;
  headers: IncomingHttpHeaders;
  /** How many of the same method and URL came before. */
  count: number;
  isBlob: boolean;
}

/** What is done with a request instead of passing it on, or with the answer on its way back. */
export interface Fault {
  /** Answers by itself. */
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  /** Ends the connection without a word. */
  drop?: boolean;
  /** Ends the connection after so many bytes of the body. */
  cutAfter?: number;
  /** Falls silent after so many bytes of the body. */
  stallAfter?: number;
  /** Changes the byte at this offset of the body. */
  flip?: number;
  /** Ends the body early or goes on too long, and says so in Content-Length: bytes. */
  lengthen?: number;
  /** Headers of the answer that are set, or taken away. */
  replace?: Record<string, string | undefined>;
  /** Passes the range on or not. */
  ignoreRange?: boolean;
  /** Bytes per second. */
  rate?: number;
}

export interface FaultProxy {
  /** `127.0.0.1:PORT`. */
  host: string;
  url: string;
  seen: Seen[];
  /** Bytes of blobs that were sent. */
  blobBytes: number;
  decide: (seen: Seen) => Fault | undefined;
  /** The requests as `METHOD kind`, `HEAD manifests`, `GET blobs`. */
  summary(): string[];
  reset(): void;
  stop(): Promise<void>;
}

/** Starts a proxy in front of `upstream`, a `http://host:port`; without one it only answers by itself. */
export async function startFaultProxy(
  upstream?: string,
  decide: FaultProxy['decide'] = () => undefined,
): Promise<FaultProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((incoming, response) => {
    const { method = 'GET', url = '/', headers } = incoming;
    const count = proxy.seen.filter((one) => one.method === method && one.url === url).length;
    const seen: Seen = { method, url, headers, count, isBlob: url.includes('/blobs/') };
    proxy.seen.push(seen);
    const fault = proxy.decide(seen) ?? {};
    if (fault.drop) {
      incoming.socket.destroy();
    } else if (fault.status !== undefined || upstream === undefined) {
      response.writeHead(fault.status ?? 404, fault.headers).end(fault.body);
    } else {
      pass(upstream, incoming, response, fault, (bytes) => {
        proxy.blobBytes += seen.isBlob && method === 'GET' ? bytes : 0;
      });
    }
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const proxy: FaultProxy = {
    host,
    url: `http://${host}`,
    seen: [],
    blobBytes: 0,
    decide,
    summary: () =>
      proxy.seen.map(({ method, url }) => {
        const kind = /\/(manifests|blobs)\//.exec(url)?.[1] ?? url;
        return `${method} ${kind}`;
      }),
    reset: () => {
      proxy.seen = [];
      proxy.blobBytes = 0;
      proxy.decide = () => undefined;
    },
    stop: () => stop(server, sockets),
  };
  return proxy;
}

function pass(
  upstream: string,
  incoming: IncomingMessage,
  response: ServerResponse,
  fault: Fault,
  count: (bytes: number) => void,
): void {
  const headers = { ...incoming.headers };
  if (fault.ignoreRange) {
    delete headers.range;
  }
  const forward = request(
    `${upstream}${incoming.url}`,
    { method: incoming.method ?? 'GET', headers },
    (answer) => {
      const out: Record<string, string | string[] | undefined> = {
        ...answer.headers,
        ...fault.replace,
      };
      if (fault.lengthen !== undefined && out['content-length'] !== undefined) {
        out['content-length'] = String(Number(out['content-length']) + fault.lengthen);
      }
      response.writeHead(
        answer.statusCode ?? 502,
        Object.fromEntries(Object.entries(out).filter(([, value]) => value !== undefined)),
      );
      void sendBody(answer, response, fault, count);
    },
  );
  forward.on('error', () => response.destroy());
  response.on('close', () => forward.destroy());
  incoming.pipe(forward);
}

async function sendBody(
  answer: IncomingMessage,
  response: ServerResponse,
  fault: Fault,
  count: (bytes: number) => void,
): Promise<void> {
  const { cutAfter, stallAfter, flip, lengthen = 0, rate } = fault;
  const length = Number(answer.headers['content-length'] ?? Number.NaN);
  const end = lengthen < 0 ? length + lengthen : Number.POSITIVE_INFINITY;
  const most = Math.min(cutAfter ?? end, stallAfter ?? end, end);
  let at = 0;
  try {
    for await (const piece of answer as AsyncIterable<Buffer>) {
      let chunk = piece.subarray(0, Math.max(0, most - at));
      if (flip !== undefined && flip >= at && flip < at + chunk.length) {
        chunk = Buffer.from(chunk);
        chunk[flip - at] = (chunk[flip - at] ?? 0) ^ 0xff;
      }
      at += chunk.length;
      if (chunk.length > 0) {
        count(chunk.length);
        // Only what has been given to the kernel is on its way when the connection is cut.
        await new Promise<void>((resolve, reject) => {
          response.write(chunk, (error) => (error ? reject(error) : resolve()));
        });
        if (rate !== undefined) {
          await new Promise((resolve) => setTimeout(resolve, (chunk.length / rate) * 1000));
        }
      }
      if (at >= most) {
        break;
      }
    }
  } catch {
    response.destroy();
    return;
  }
  if (stallAfter !== undefined && at >= stallAfter) {
    return;
  }
  if (cutAfter !== undefined && at >= cutAfter) {
    response.socket?.end(); // after what was written; a reset could take it back
    return;
  }
  response.end(lengthen > 0 ? Buffer.alloc(lengthen) : undefined);
}

function stop(server: Server, sockets: Set<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    for (const socket of sockets) {
      socket.destroy();
    }
  });
}
