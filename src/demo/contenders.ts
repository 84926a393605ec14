// Who takes part in the demo: oci-unpack and the pure JavaScript apply, both as libraries in this process.

import type { Contender } from '../bench/contender.js';
import { javaScriptContenders } from '../bench/javascript.js';
import { type OwnMode, ownContenders } from '../bench/ours.js';
import { unpackImage } from '../index.js';
import { unpackInJavaScript } from './pure-js.js';

/** The two, in the way that this process is allowed to work. */
export function demoContenders(mode: OwnMode): Contender[] {
  const { format, policies, privileged } = mode;
  const [ours] = ownContenders(mode);
  const [javaScript] = javaScriptContenders(privileged);
  if (ours === undefined || javaScript === undefined) {
    throw new RangeError('a contender is missing');
  }
  return [
    {
      ...ours,
      unpack: async ({ image, signal }, destination) => {
        const { layers } = await unpackImage(image.reference, destination, {
          format,
          policies,
          signal,
        });
        return {
          tarBytes: layers.reduce((sum, { uncompressedSize }) => sum + uncompressedSize, 0),
          files: layers.reduce((sum, { counts }) => sum + counts.files, 0),
        };
      },
    },
    {
      ...javaScript,
      unpack: async ({ image, signal }, destination) => {
        const options = { calls: 'async', owners: privileged, signal } as const;
        await unpackInJavaScript(image.layers, destination, options);
        return {};
      },
    },
  ];
}
