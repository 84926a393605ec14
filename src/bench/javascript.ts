// The pure JavaScript apply as a contender.

import { pureJsLayerPath, unpackInJavaScript } from '../demo/pure-js.js';
import { scanLayers } from '../demo/scan.js';
import type { Contender } from './contender.js';

const titles = { async: 'JavaScript', sync: 'JavaScript, blocking' };

/** `calls`: whether files are written on libuv's threads, or by calls that block the whole process. */
export function javaScriptContender(calls: 'async' | 'sync', owners: boolean): Contender {
  return {
    id: `javascript-${calls}`,
    title: titles[calls],
    digests: true,
    lacks: [
      'xattrs and capabilities',
      'nanoseconds',
      'device nodes, so whiteouts too',
      ...(calls === 'sync' ? ['a responsive event loop'] : []),
    ],
    async unpack(image, destination, signal) {
      await unpackInJavaScript(image.layers, destination, { calls, owners, signal });
      return {};
    },
    async view(image, destination, _xattrs, signal) {
      const directories = image.layers.map((_, index) => pureJsLayerPath(destination, index));
      const tree = await scanLayers(directories, signal);
      // utimes() takes seconds as a double, and libuv cuts them to microseconds.
      return { tree, tolerance: { time: 2000n, xattrs: true, owners: !owners } };
    },
  };
}
