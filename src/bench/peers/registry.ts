// A registry on the loopback interface with one image in it, read-only: for peers that unpack only what they pull.

import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { PlainLayout } from '../layout.js';

export interface LoopbackRegistry {
  /** `127.0.0.1:PORT/image:latest`. */
  reference: string;
  close(): Promise<void>;
}

const manifestType = 'application/vnd.oci.image.manifest.v1+json';

/** Serves a layout until it is closed (distribution-spec, "Pull"). */
export async function serveLayout(layout: PlainLayout): Promise<LoopbackRegistry> {
  const server = createServer((request, response) => {
    answer(layout, request, response).catch(() => {
      response.writeHead(404).end();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    reference: `127.0.0.1:${port}/image:latest`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  { directory, manifestDigest }: PlainLayout,
  { method, url = '' }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (/^\/v2\/?$/.test(url)) {
    response.writeHead(200).end();
    return;
  }
  const [, kind, name = ''] = /^\/v2\/image\/(manifests|blobs)\/([\w:.-]+)(?:\?|$)/.exec(url) ?? [];
  const digest = name === 'latest' ? manifestDigest : name;
  if (kind === undefined || !/^sha256:[0-9a-f]{64}$/.test(digest)) {
    response.writeHead(404).end();
    return;
  }
  const file = path.join(directory, 'blobs', 'sha256', digest.slice('sha256:'.length));
  response.setHeader('docker-content-digest', digest);
  response.setHeader(
    'content-type',
    kind === 'manifests' ? manifestType : 'application/octet-stream',
  );
  response.setHeader('content-length', (await stat(file)).size);
  if (method === 'HEAD') {
    response.end();
  } else if (kind === 'manifests') {
    response.end(await readFile(file));
  } else {
    createReadStream(file).pipe(response);
  }
}
