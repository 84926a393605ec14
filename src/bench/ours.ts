// oci-unpack itself as a contender, in the way that this process is allowed to work.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { addXattrs, scanDirectory, scanLayers } from '../demo/scan.js';
import {
  type Format,
  mountImage,
  type Policies,
  UnpackError,
  unmount,
  unpackImage,
} from '../index.js';
import { removeTree } from '../native/index.js';
import type { Contender, UnpackFacts } from './contender.js';
import type { BenchImage } from './image.js';

/** How this process may unpack. */
export interface OwnMode {
  format: Format;
  policies: Partial<Policies>;
  /** Whether results are looked at through an overlayfs mount. */
  mounts: boolean;
  /** Whether owners and capabilities are set. */
  privileged: boolean;
  /** Why not everything is as it should be. */
  why?: string;
}

const refusals = ['ERR_PERMISSION', 'ERR_UNSUPPORTED', 'ERR_XATTR_UNSUPPORTED', 'ERR_DEVICE'];
const unprivileged: Partial<Policies> = {
  ownership: 'ignore',
  xattrs: 'best-effort',
  devices: 'skip',
};

/**
 * Finds out what this process may do by doing it: overlay format and a mount, else whiteouts as files (aufs), which
 * anyone may write and read.
 */
export async function probeOwnMode(
  image: BenchImage,
  scratch: string,
  signal?: AbortSignal,
): Promise<OwnMode> {
  const full: OwnMode = { format: 'overlay', policies: {}, mounts: true, privileged: true };
  if (process.geteuid?.() !== 0) {
    const why = 'not root: owners and capabilities are not set, and nothing is mounted';
    return { format: 'aufs', policies: unprivileged, mounts: false, privileged: false, why };
  }
  const destination = path.join(scratch, 'probe');
  try {
    await unpackImage(image.reference, destination, { format: 'overlay', signal });
    await whileMounted(destination, async () => {});
    return full;
  } catch (error) {
    if (!(error instanceof UnpackError) || !refusals.includes(error.code)) {
      throw error;
    }
    const why = `no overlayfs here: ${error.message}`;
    return { format: 'aufs', policies: {}, mounts: false, privileged: true, why };
  } finally {
    await removeTree(destination);
    await removeTree(`${destination}.mount`);
  }
}

/** The contender. */
export function ownContender(mode: OwnMode): Contender {
  const { format, policies } = mode;
  return {
    id: `oci-unpack-${format}`,
    title: 'oci-unpack',
    digests: true,
    lacks: mode.privileged ? [] : ['owners', 'capabilities'],
    async unpack(image, destination, signal): Promise<UnpackFacts> {
      const options = { format, policies, signal };
      const { layers } = await unpackImage(image.reference, destination, options);
      const stages: Record<string, number> = {};
      for (const { times } of layers) {
        for (const [stage, time] of Object.entries(times)) {
          stages[stage] = (stages[stage] ?? 0) + time;
        }
      }
      return {
        stages,
        decoders: [...new Set(layers.map(({ decoder }) => decoder))],
        tarBytes: layers.reduce((sum, layer) => sum + layer.uncompressedSize, 0),
        files: layers.reduce((sum, layer) => sum + layer.counts.files, 0),
      };
    },
    async view(image, destination, xattrs, signal) {
      if (mode.mounts) {
        return whileMounted(destination, async (target) => {
          const tree = await scanDirectory(target, signal);
          const seen = await addXattrs(tree, target, xattrs);
          return { tree, tolerance: { xattrs: !seen } };
        });
      }
      const directories = image.layers.map((_, index) => layerDirectory(destination, index));
      const tree = await scanLayers(directories, signal);
      return { tree, tolerance: { owners: !mode.privileged, xattrs: true } };
    },
  };
}

function layerDirectory(destination: string, index: number): string {
  return path.join(destination, 'layers', String(index).padStart(3, '0'), 'fs');
}

/** Mounts an unpacked image beside it for the time of `body`. */
async function whileMounted<T>(
  destination: string,
  body: (target: string) => Promise<T>,
): Promise<T> {
  const target = `${destination}.mount`;
  await mkdir(target, { recursive: true });
  await mountImage(destination, target);
  try {
    return await body(target);
  } finally {
    await unmount(target);
  }
}
