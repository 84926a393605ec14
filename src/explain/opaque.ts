// `explain opaque`: an image that old kernels lost files of, unpacked in three ways, and the loss found and healed.
// Nothing is told that is not done here: mounts are mounted, xattrs are read.

import { release } from 'node:os';
import path from 'node:path';
import { makeScratchDirectory } from '../bench/file-system.js';
import { cleanUp } from '../clean-up.js';
import { UnpackError } from '../errors.js';
import { inUserNamespace } from '../snapshots/index.js';
import { damageAndHeal, type Healing, withNewStore } from './heal.js';
import { expectedTree, explainedLayers, writeExplainedImage } from './image.js';
import { withOverlay } from './mounts.js';
import { unpackThroughMount } from './through-mount.js';
import { lookAt, type Way } from './ways.js';

/** Options of {@link explainOpaque}. */
export interface ExplainOptions {
  /** Where to work, made where missing; default a tmpfs, else where temporary files go. */
  directory?: string | undefined;
  /** Leave what was made. Default false. */
  keep?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** What {@link explainOpaque} resolves to; `--json` prints it. */
export interface OpaqueExplanation {
  topic: 'opaque';
  kernel: string;
  /** The xattr that marks an opaque directory here. */
  xattr: string;
  /** In a user namespace, where `user.overlay.` stands for `trusted.overlay.`. */
  userNamespace: boolean;
  /** Where everything was made; with `keep` it is still there. */
  directory: string;
  kept: boolean;
  image: {
    reference: string;
    /** Bottom first; entries as the tar has them. */
    layers: { name: string; made: string; entries: string[] }[];
    /** What a container has to see. */
    expected: string[];
  };
  /** Through a mount, the same on an old kernel, by oci-unpack. */
  ways: [Way, Way, Way];
  /** This kernel is one that has the bug. */
  kernelHasBug: boolean;
  verify: Healing;
  /** oci-unpack shows every file, and what was damaged was found and healed. */
  ok: boolean;
}

/**
 * Unpacks the image in three ways in a scratch directory, which is removed again.
 *
 * @throws UnpackError `ERR_PERMISSION` without the right to mount; `ERR_ABORTED`; `ERR_UNSUPPORTED` where the file system
 * cannot hold the changes of an overlay
 */
export async function explainOpaque(options: ExplainOptions = {}): Promise<OpaqueExplanation> {
  const { directory, keep = false, signal } = options;
  const scratch = await makeScratchDirectory(directory).catch((error: unknown) => {
    throw UnpackError.fromSystem(error, directory);
  });
  let kept = false;
  try {
    const explanation = await explainIn(scratch.path, signal);
    kept = keep;
    return { ...explanation, kept };
  } catch (error) {
    throw signal?.aborted && !(error instanceof UnpackError)
      ? new UnpackError('ERR_ABORTED', 'cancelled', { cause: error })
      : UnpackError.from(error);
  } finally {
    await cleanUp(() => (kept ? undefined : scratch.remove()));
  }
}

async function explainIn(
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<OpaqueExplanation> {
  const userNamespace = inUserNamespace();
  const marks = {
    userxattr: userNamespace,
    opaque: userNamespace ? 'user.overlay.opaque' : 'trusted.overlay.opaque',
  };
  const at = (name: string) => path.join(scratch, name);
  await tryMount(at('try'), marks.userxattr);
  const reference = await writeExplainedImage(at('image'));
  const target = at('merged');

  const mounted = async (id: 'through-mount' | 'old-kernel'): Promise<Way> => {
    const how = { ...marks, emulateBug: id === 'old-kernel', signal };
    const directories = await unpackThroughMount(explainedLayers, at(id), how);
    return lookAt(id, directories, target, marks);
  };
  const a = await mounted('through-mount');
  const b = await mounted('old-kernel');
  const [c, verify] = await withNewStore(at('store'), async (store) => {
    const image = await store.import(reference, { name: 'explained:opaque', signal });
    const directories = image.layers.map((layer) => layer.directory);
    const way = await lookAt('oci-unpack', directories, target, marks);
    return [way, await damageAndHeal(store, image, target, marks, signal)];
  });
  return {
    topic: 'opaque',
    kernel: release(),
    xattr: marks.opaque,
    userNamespace,
    directory: scratch,
    kept: false,
    image: {
      reference,
      layers: explainedLayers.map(({ name, made, entries }) => ({
        name,
        made,
        entries: entries.map((one) => (one.type === 'directory' ? `${one.path}/` : one.path)),
      })),
      expected: [...expectedTree],
    },
    ways: [a, b, c],
    kernelHasBug: !isWhole(a),
    verify,
    ok: isWhole(c) && verify.findings.length > 0 && verify.clean && isWhole(verify.after),
  };
}

/** The mount shows what the image has, and nothing else. */
export function isWhole({ missing, extra }: Way): boolean {
  return missing.length === 0 && extra.length === 0;
}

/** Fails at once, and says what to do, where nothing can be shown. */
async function tryMount(directory: string, userxattr: boolean): Promise<void> {
  const { mkdir } = await import('node:fs/promises');
  const parts = ['lower', 'upper', 'work'].map((name) => path.join(directory, name));
  await Promise.all(parts.map((part) => mkdir(part, { recursive: true })));
  const [lower = '', upper = '', work = ''] = parts;
  const target = path.join(directory, 'merged');
  try {
    await withOverlay({ lowers: [lower], upper, work, userxattr }, target, async () => {});
  } catch (error) {
    const { errno, message } = UnpackError.from(error);
    const details = { errno, syscall: 'mount', path: directory, cause: error };
    if (errno === 'EPERM' || errno === 'EACCES') {
      const how =
        'run it as root, or in a namespace of your own: unshare -Urm oci-unpack explain opaque';
      const text = `explain opaque mounts overlays, which this process may not; ${how} (${message})`;
      throw new UnpackError('ERR_PERMISSION', text, details);
    }
    const how = 'choose another place with --dir, such as /dev/shm or a directory on ext4 or xfs';
    throw new UnpackError(
      'ERR_UNSUPPORTED',
      `an overlay with its changes in ${directory} cannot be mounted; ${how} (${message})`,
      details,
    );
  }
}
