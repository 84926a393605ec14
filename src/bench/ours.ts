// oci-unpack itself as a contender, as a whole process, in the way that this user is allowed to work.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { scanLayers } from '../demo/scan.js';
import {
  type Format,
  type ImageReport,
  mountImage,
  type Policies,
  UnpackError,
  type UnpackErrorCode,
  unmount,
  unpackImage,
  version,
} from '../index.js';
import { removeTree } from '../native/index.js';
import type { Contender, UnpackFacts } from './contender.js';
import type { BenchImage } from './image.js';
import { viewDirectory } from './layered-view.js';
import { commandFile, runNode } from './process.js';

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
const unprivileged = {
  ownership: 'ignore',
  xattrs: 'best-effort',
  devices: 'skip',
} satisfies Partial<Policies>;

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

/** The contenders: as layers, as one merged tree, and as layers on one thread. The first is the one that counts. */
export function ownContenders(mode: OwnMode): Contender[] {
  return [
    ownContender(mode, { id: 'oci-unpack', title: 'oci-unpack' }),
    ownContender({ ...mode, format: 'flat' }, { id: 'oci-unpack-flat', title: 'oci-unpack flat' }),
    ownContender(mode, { id: 'oci-unpack-1', title: 'oci-unpack -j 1', concurrency: 1 }),
  ];
}

function ownContender(
  mode: OwnMode,
  { id, title, concurrency }: { id: string; title: string; concurrency?: number },
): Contender {
  const options = [
    '--format',
    mode.format,
    ...(concurrency === undefined ? [] : ['--concurrency', String(concurrency)]),
    ...Object.entries(mode.policies).flatMap(([name, value]) => [`--${name}`, String(value)]),
  ];
  return {
    id,
    title,
    kind: 'ours',
    digests: true,
    lacks: mode.privileged ? [] : ['owners', 'capabilities'],
    version,
    absence: async () => undefined,
    async unpack({ image, signal }, destination): Promise<UnpackFacts> {
      const args = ['unpack', image.reference, destination, '--json', ...options];
      const settings = { signal, codes: [0, 1, 2] };
      const { code, stdout, stderr, usage } = await runNode([commandFile, ...args], settings);
      if (code !== 0) {
        throw failureOf(stdout, stderr);
      }
      return { usage, ...factsOf(JSON.parse(stdout) as ImageReport) };
    },
    async view({ image, signal }, destination, xattrs) {
      if (mode.format === 'flat') {
        const view = await viewDirectory(path.join(destination, 'rootfs'), xattrs, signal);
        const { tolerance } = view;
        return { ...view, tolerance: mode.privileged ? tolerance : { owners: true, xattrs: true } };
      }
      if (mode.mounts) {
        return whileMounted(destination, (target) => viewDirectory(target, xattrs, signal));
      }
      const directories = image.layers.map((_, index) =>
        path.join(destination, 'layers', String(index).padStart(3, '0'), 'fs'),
      );
      const tree = await scanLayers(directories, signal);
      return { tree, tolerance: { owners: !mode.privileged, xattrs: true } };
    },
  };
}

/** The error that the command printed as JSON. */
function failureOf(stdout: string, stderr: string): UnpackError {
  try {
    const { error } = JSON.parse(stdout) as {
      error: { code: UnpackErrorCode; message: string };
    };
    return new UnpackError(error.code, error.message);
  } catch {
    return new UnpackError('ERR_INTERNAL', stderr.trim() || 'oci-unpack failed without a message');
  }
}

function factsOf({ layers }: ImageReport): UnpackFacts {
  const stages: Record<string, number> = {};
  for (const { times } of layers) {
    for (const [stage, time] of Object.entries(times)) {
      if (stage !== 'wall' && stage !== 'total') {
        stages[stage] = (stages[stage] ?? 0) + time;
      }
    }
  }
  return {
    stages,
    decoders: [...new Set(layers.map(({ decoder }) => decoder))],
    tarBytes: layers.reduce((sum, layer) => sum + layer.uncompressedSize, 0),
    files: layers.reduce((sum, layer) => sum + layer.counts.files, 0),
  };
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
