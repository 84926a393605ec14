// The floor: inflating, both sha256 and the bare system calls of an image, each timed alone by a native program, and
// put together as if they were spread over all processors without a gap.

import path from 'node:path';
import { loadBinding } from '../native/index.js';
import type { Contender, UnpackFacts } from './contender.js';
import { viewOverlay } from './layered-view.js';
import { nativeTool, toolAbsence } from './native-tool.js';
import { runProcess } from './process.js';

/** Seconds by the clock, and of the processor. */
interface Seconds {
  wall: number;
  cpu: number;
}

/** What the native program says of a layer. */
export interface LayerFloor {
  inflate: Seconds;
  hashBlob: Seconds;
  hashTar: Seconds;
  create: Seconds;
  decoder: string;
  digest: string;
  diffID: string;
  tarBytes: number;
  files: number;
  items: number;
  /** What it could not make. */
  failed: number;
  firstFailure: string;
}

/** The floor of an image on a number of processors, in milliseconds. */
export interface Floor {
  wall: number;
  cpu: number;
  /** The longest piece of work that no number of processors can split: one layer's inflate or sha256. */
  chain: number;
}

/**
 * All work spread evenly over `cores`; but a layer's inflate is one chain, and so is each of its digests, which can
 * only run beside each other.
 */
export function floorOf(layers: readonly LayerFloor[], cores: number): Floor {
  let cpu = 0;
  let chain = 0;
  for (const { inflate, hashBlob, hashTar, create } of layers) {
    cpu += inflate.cpu + hashBlob.cpu + hashTar.cpu + create.cpu;
    chain = Math.max(chain, inflate.cpu, hashBlob.cpu, hashTar.cpu);
  }
  return { wall: Math.max(cpu / cores, chain) * 1000, cpu: cpu * 1000, chain: chain * 1000 };
}

/** The floor as a contender; what it writes is in overlay format. `mounts`: whether that can be looked at. */
export function floorContender(mounts: boolean): Contender {
  return {
    id: 'floor',
    title: 'floor',
    kind: 'floor',
    digests: true,
    lacks: ['scheduling', 'checks', 'everything but the bare work'],
    async absence({ home }) {
      if (nativeTool(home) === undefined) {
        return toolAbsence;
      }
      return process.geteuid?.() === 0
        ? undefined
        : { status: 'unsuitable', reason: 'it sets owners and makes device nodes: run as root' };
    },
    async unpack({ image, home, signal }, destination): Promise<UnpackFacts> {
      const windows = image.layers.flatMap(({ path, offset, length }) => [path, offset, length]);
      const args = ['floor', destination, ...windows.map(String)];
      const { stdout } = await runProcess(nativeTool(home) as string, args, { signal });
      const layers = JSON.parse(stdout) as LayerFloor[];
      layers.forEach((layer, index) => {
        const { digest, diffID } = image.layers[index] ?? {};
        if (layer.digest !== digest || layer.diffID !== diffID) {
          throw new Error(`layer ${index} has other digests than the image says`);
        }
      });
      return factsOf(layers, loadBinding().workers());
    },
    async view({ image, signal }, destination, xattrs) {
      const directories = image.layers
        .map((_, index) => path.join(destination, 'layers', String(index).padStart(3, '0'), 'fs'))
        .reverse();
      if (!mounts) {
        throw new Error('its result can only be seen through overlayfs');
      }
      const view = await viewOverlay(directories, `${destination}.mount`, xattrs, signal);
      // A directory without an entry of its own does not take the attributes of the one below.
      return { ...view, tolerance: { ...view.tolerance, directories: true } };
    },
  };
}

function factsOf(layers: LayerFloor[], cores: number): UnpackFacts {
  const { wall, cpu, chain } = floorOf(layers, cores);
  const sum = (pick: (layer: LayerFloor) => number) =>
    layers.reduce((total, layer) => total + pick(layer), 0);
  const failed = sum((layer) => layer.failed);
  const failure = layers.find(({ firstFailure }) => firstFailure !== '')?.firstFailure;
  return {
    wall,
    usage: { user: cpu, system: 0, maxRss: 0 },
    stages: {
      inflate: sum(({ inflate }) => inflate.cpu) * 1000,
      'sha256 of blobs': sum(({ hashBlob }) => hashBlob.cpu) * 1000,
      'sha256 of tars': sum(({ hashTar }) => hashTar.cpu) * 1000,
      'system calls': sum(({ create }) => create.cpu) * 1000,
    },
    decoders: [...new Set(layers.map(({ decoder }) => decoder))],
    tarBytes: sum(({ tarBytes }) => tarBytes),
    files: sum(({ files }) => files),
    note:
      `${cores} processors; longest chain ${(chain / 1000).toFixed(2)} s` +
      (failed > 0 ? `; ${failed} could not be made, such as ${failure}` : ''),
  };
}
