// Entry of the processes in which JavaScript contenders run; one argument says as JSON what to do. A process of its
// own for each run, so that processor time and peak memory are that run's alone.

import { createReadStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type PureJsLayer, unpackInJavaScript } from '../demo/pure-js.js';
import { layerDirectory } from './layered-view.js';

/** The work of one run. */
export interface JavaScriptTask {
  how: 'async' | 'sync' | 'streams' | 'node-tar' | 'tar-fs';
  layers: PureJsLayer[];
  destination: string;
  owners: boolean;
}

/** Runs a task in this process. */
export async function runJavaScriptTask(task: JavaScriptTask): Promise<void> {
  const { how, layers, destination, owners } = task;
  switch (how) {
    case 'node-tar':
      await eachLayer(task, nodeTar);
      return;
    case 'tar-fs':
      await eachLayer(task, tarFs);
      return;
    default:
      await unpackInJavaScript(layers, destination, { calls: how, owners });
  }
}

/** All layers at once. */
async function eachLayer(
  { layers, destination, owners }: JavaScriptTask,
  unpack: (layer: PureJsLayer, directory: string, owners: boolean) => Promise<void>,
): Promise<void> {
  await Promise.all(
    layers.map(async (layer, index) => {
      const directory = layerDirectory(destination, index);
      await mkdir(directory, { recursive: true });
      await unpack(layer, directory, owners);
    }),
  );
}

async function nodeTar(layer: PureJsLayer, directory: string, owners: boolean): Promise<void> {
  // Not known to the compiler where it is not installed.
  const { extract } = (await import('tar' as string)) as {
    extract(options: Record<string, unknown>): NodeJS.WritableStream;
  };
  const options = { cwd: directory, preserveOwner: owners, preservePaths: false, processUmask: 0 };
  await pipeline(source(layer), extract(options));
}

async function tarFs(layer: PureJsLayer, directory: string, owners: boolean): Promise<void> {
  const module = (await import('tar-fs' as string)) as Record<string, unknown>;
  const { extract } = (module.default ?? module) as {
    extract(directory: string, options: Record<string, unknown>): NodeJS.WritableStream;
  };
  const gunzip = createGunzip({ chunkSize: 1 << 20 });
  await pipeline(source(layer), gunzip, extract(directory, { chown: owners, umask: 0 }));
}

function source({ path, offset = 0, length }: PureJsLayer): NodeJS.ReadableStream {
  return createReadStream(path, {
    highWaterMark: 1 << 20,
    start: offset,
    ...(length !== undefined && { end: Math.max(offset + length - 1, 0) }),
  });
}

if (process.argv[1] === import.meta.filename) {
  process.umask(0);
  await runJavaScriptTask(JSON.parse(process.argv[2] ?? '') as JavaScriptTask);
}
