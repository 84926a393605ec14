// Compares the snapshots of a containerd with the layers in its content store. Nothing is asked of the daemon, and
// nothing of it is written: it may run meanwhile.

import { readFileSync } from 'node:fs';
import { lstat, stat } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { normalizeImageName } from '../oci/index.js';
import {
  type AuditNode,
  auditStructure,
  boundNotes,
  chainOf,
  type DirectoryTime,
  directoryTimes,
  type ImageAudit,
  isDamaged,
  type SnapshotAudit,
  summarize,
  type VerifyProgress,
  type VerifyReport,
  withAudit,
} from '../verify/index.js';
import { acceptApplied } from './applier.js';
import {
  ContainerdContent,
  isReadable,
  type NamespaceChains,
  nameOf,
  readChains,
  type UnpackedChain,
} from './chains.js';
import { defaultContainerdRoot } from './layout.js';
import type { ContainerdImage, ContainerdSnapshot } from './records.js';
import { ContainerdStore } from './store.js';

/** What {@link verifyContainerd} takes. */
export interface VerifyContainerdOptions {
  /** Default `/var/lib/containerd`. */
  root?: string | undefined;
  /** Only this one; default all. */
  namespace?: string | undefined;
  /** Only the image of this name, in full or as Docker completes it; default all. */
  image?: string | undefined;
  /** Whether the content of files is read. Default true. */
  content?: boolean | undefined;
  /** Hidden paths that are listed of each snapshot and image; all are counted. Default 100. */
  mostPaths?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/** A report, with what a repair script needs to know. */
export interface ContainerdVerification {
  report: VerifyReport;
  /**
   * Where something is damaged, with all their images: what stands on the snapshots of the one that was asked for goes, and
   * comes back, with these.
   */
  namespaces: NamespaceChains[];
  /** Whether its marks are those of a user namespace. */
  inUserNamespace: boolean;
  /** By a snapshot's directory: directories below it whose time differs, and what it should be. */
  times: Map<string, DirectoryTime[]>;
}

/** containerd takes what ours may refuse. */
const policies: Omit<AuditNode['policies'], 'symlinkParents'> = {
  overlayXattrs: 'escape',
  xattrs: 'strict',
  devices: 'create',
  deviceWhiteouts: 'accept',
  trailingGarbage: 'ignore',
  ownership: 'apply',
};

/** Layers that make a snapshot of their own, of all images; by the directory with its files. */
type Nodes = Map<string, ContainerdNode>;

interface ContainerdNode extends AuditNode {
  parent: ContainerdNode | undefined;
  namespace: string;
  snapshotter: string;
  key: string;
  /** Directories whose time differs, once it was compared. */
  times: DirectoryTime[];
  /** It, or a layer below it, has no blob. */
  blobless: boolean;
}

/**
 * Compares every committed snapshot of the images with its layer.
 *
 * @throws UnpackError `ERR_NOT_FOUND` where there is no containerd's root, `ERR_PERMISSION`, `ERR_IMAGE_NOT_FOUND`,
 *   `ERR_INVALID_STORE`, `ERR_UNKNOWN_STORE_VERSION`, `ERR_STORE_BUSY`, `ERR_UNSUPPORTED` for snapshotters without
 *   directories and for a rootless containerd from outside its user namespace, `ERR_ABORTED`
 */
export async function verifyContainerd(
  options: VerifyContainerdOptions = {},
): Promise<ContainerdVerification> {
  const started = performance.now();
  const store = openStore(options.root ?? defaultContainerdRoot);
  try {
    const inUserNamespace = await checkUserNamespace(store.root.directory);
    const namespaces = await readNamespaces(store, options);
    const notes = namespaces.flatMap((namespace) => namespace.notes);
    const chains = namespaces.flatMap((namespace) => namespace.chains);
    const nodes = await makeNodes(store, readable(chains, notes), inUserNamespace);
    const { content, mostPaths, signal, onProgress } = options;
    const report = await withAudit(
      [...nodes.values()].filter(({ blobless }) => !blobless),
      { deep: true, content, mostPaths, signal, onProgress },
      async (audit) => {
        const done = new Map(audit.snapshots.map((one) => [one.directory, one]));
        const rest = [...nodes.values()].filter(({ directory }) => !done.has(directory));
        for (const one of await auditRest(rest, notes, mostPaths)) {
          done.set(one.directory, one);
        }
        notes.push(...audit.notes);
        const damaged = new Set([...done.values()].filter(isDamaged).map((one) => one.directory));
        const gone = await goneMeanwhile(store, nodes, damaged);
        for (const directory of gone) {
          notes.push(`${directory}: its snapshot was removed meanwhile`);
          done.delete(directory);
          damaged.delete(directory);
        }
        const images: ImageAudit[] = [];
        for (const chain of chains) {
          const own = nodesOf(chain, nodes);
          if (own.length > 0) {
            images.push({
              ...describe(chain),
              ok: !own.some(({ directory }) => damaged.has(directory)),
              ...(await audit.imageVisibility(own)),
            });
          }
        }
        const snapshots = [...nodes.keys()].flatMap((directory) => done.get(directory) ?? []);
        return { images, snapshots, damagedBlobs: audit.damagedBlobs };
      },
    );
    const summary = summarize(report);
    return {
      namespaces:
        options.image === undefined || summary.ok
          ? namespaces
          : await readNamespaces(store, { ...options, image: undefined }),
      inUserNamespace,
      times: new Map([...nodes].map(([directory, { times }]) => [directory, times])),
      report: {
        version: 1,
        root: store.root.directory,
        kind: 'containerd',
        ...report,
        ...summary,
        notes: boundNotes(notes),
        milliseconds: Math.round(performance.now() - started),
      },
    };
  } finally {
    store.close();
  }
}

function openStore(root: string): ContainerdStore {
  try {
    return ContainerdStore.open(root);
  } catch (error) {
    if (error instanceof UnpackError && error.code === 'ERR_NOT_FOUND') {
      throw new UnpackError(
        'ERR_NOT_FOUND',
        `${error.path}: is not there: ${root} is not the root of a containerd (the root of its config.toml)`,
        { path: error.path, cause: error },
      );
    }
    throw error;
  }
}

/** Whether this process and the containerd are in a user namespace; refuses one that only the containerd is in. */
async function checkUserNamespace(root: string): Promise<boolean> {
  const { uid } = await stat(root).catch((error) => {
    throw UnpackError.fromSystem(error, root);
  });
  const map = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/);
  const isInitial = map.join(' ') === '0 0 4294967295';
  if (isInitial && uid !== 0) {
    throw new UnpackError(
      'ERR_UNSUPPORTED',
      `${root}: belongs to user ${uid}: a rootless containerd's files have other owners outside its user namespace; run this within it: nsenter -U -m --preserve-credentials -t "$(cat "$XDG_RUNTIME_DIR"/containerd-rootless/child_pid)" oci-unpack verify --containerd ${root}`,
      { path: root },
    );
  }
  return !isInitial;
}

async function readNamespaces(
  store: ContainerdStore,
  { namespace, image }: VerifyContainerdOptions,
): Promise<NamespaceChains[]> {
  const all = (await store.namespaces()).map(({ name }) => name);
  if (namespace !== undefined && !all.includes(namespace)) {
    throw new UnpackError(
      'ERR_NOT_FOUND',
      `${store.root.directory}: has no namespace ${JSON.stringify(namespace)}; it has ${all.join(', ') || 'none'}`,
    );
  }
  const full = image === undefined ? undefined : normalizeImageName(image);
  const only = (one: ContainerdImage) =>
    image === undefined || one.name === image || one.name === full;
  const namespaces: NamespaceChains[] = [];
  for (const name of namespace === undefined ? all : [namespace]) {
    namespaces.push(await readChains(store, name, only));
  }
  if (image !== undefined && namespaces.every(({ images }) => images.length === 0)) {
    throw new UnpackError(
      'ERR_IMAGE_NOT_FOUND',
      `${store.root.directory}: no namespace has an image ${JSON.stringify(image)}; ctr -n NAMESPACE images ls lists them`,
    );
  }
  return namespaces;
}

/** The chains whose snapshots are directories; the others are noted, or refused where there is nothing else. */
function readable(chains: readonly UnpackedChain[], notes: string[]): UnpackedChain[] {
  const fit = chains.filter(({ snapshots }) => snapshots.every(isReadable));
  const others = new Set(
    chains.filter((chain) => !fit.includes(chain)).map(({ snapshotter }) => snapshotter),
  );
  const what = [...others].sort().join(', ');
  if (fit.length === 0 && others.size > 0) {
    throw new UnpackError(
      'ERR_UNSUPPORTED',
      `the images are unpacked by snapshotter ${what} alone, which keeps no directories here that could be read; overlayfs and native do`,
    );
  }
  if (others.size > 0) {
    notes.push(
      `snapshotter ${what} keeps no directories here that could be read: its snapshots are not compared`,
    );
  }
  return fit;
}

async function makeNodes(
  store: ContainerdStore,
  chains: readonly UnpackedChain[],
  inUserNamespace: boolean,
): Promise<Nodes> {
  const content = new ContainerdContent(store.root.content);
  const nodes: Nodes = new Map();
  for (const { namespace, manifest, snapshotter, snapshots } of chains) {
    let parent: ContainerdNode | undefined;
    const lowers: string[] = [];
    const blobs: (() => Promise<string | undefined>)[] = [];
    for (const [index, snapshot] of snapshots.entries()) {
      const { chainID, diffID, descriptor } = manifest.layers[index] as (typeof manifest.layers)[0];
      const directory = directoryOf(snapshot);
      const wasMounted = await isThere(path.join(path.dirname(directory), 'work', 'work'));
      blobs.push(() =>
        content.locate(descriptor).then(
          (location) => location.path,
          () => undefined,
        ),
      );
      const layer = {
        snapshotter,
        directory,
        lowers: [...lowers],
        inUserNamespace,
        wasMounted,
        blobs: snapshotter === 'native' ? [...blobs] : blobs.slice(-1),
      };
      const blobless = parent?.blobless || !(await content.has(descriptor));
      const known = nodes.get(directory);
      const times: DirectoryTime[] = [];
      if (known === undefined || (known.blobless && !blobless)) {
        nodes.set(directory, {
          layer: index,
          chainID,
          snapshot: `${namespace}/${snapshotter}/${snapshot.key}`,
          namespace,
          snapshotter,
          key: snapshot.key,
          parent,
          directory,
          format: formatOf(snapshotter, inUserNamespace),
          policies: {
            ...policies,
            // Where it applies to the merged tree (a copy, or through a mount), it follows the symlinks there.
            symlinkParents: snapshotter === 'native' || wasMounted ? 'follow' : 'replace',
          },
          limits: {},
          digest: descriptor.digest,
          size: descriptor.size,
          diffID,
          blob: () => content.locate(descriptor),
          blobless,
          times,
          accept: async (differences, truth) => {
            const left = await acceptApplied(differences, { ...layer, ...truth });
            times.push(...directoryTimes(left));
            return left;
          },
        });
      }
      parent = nodes.get(directory);
      lowers.unshift(directory);
    }
  }
  return nodes;
}

/** What cannot be compared with a blob: by the rules of structure alone. */
async function auditRest(
  rest: readonly ContainerdNode[],
  notes: string[],
  mostPaths: number | undefined,
): Promise<SnapshotAudit[]> {
  const overlays = rest.filter(({ format }) => format !== 'flat');
  for (const { namespace, key, blobless, format } of rest) {
    if (blobless) {
      const left =
        format !== 'flat'
          ? 'only its marks could be checked'
          : 'nothing of it could be checked (its snapshotter makes no marks)';
      notes.push(
        `${nameOf(namespace, key)}: the content store lacks its layer's blob, or one below it: ${left}`,
      );
    }
  }
  return auditStructure(overlays.map(chainOf), { mostPaths });
}

/** Directories whose snapshots are not in the store any more, of those with findings. */
async function goneMeanwhile(
  store: ContainerdStore,
  nodes: Nodes,
  damaged: ReadonlySet<string>,
): Promise<string[]> {
  const suspects = [...nodes.values()].filter(({ directory }) => damaged.has(directory));
  const gone: string[] = [];
  for (const namespace of new Set(suspects.map((node) => node.namespace))) {
    const left = new Set((await store.snapshots(namespace)).map(directoryOf));
    const own = suspects.filter((node) => node.namespace === namespace);
    gone.push(...own.map(({ directory }) => directory).filter((one) => !left.has(one)));
  }
  return gone;
}

function directoryOf({ stored }: ContainerdSnapshot): string {
  return stored?.directory === undefined ? '' : path.resolve(stored.directory);
}

function nodesOf({ snapshots }: UnpackedChain, nodes: Nodes): ContainerdNode[] {
  return snapshots.flatMap((snapshot) => nodes.get(directoryOf(snapshot)) ?? []);
}

function describe({
  namespace,
  image,
  manifest,
}: UnpackedChain): Pick<ImageAudit, 'name' | 'digest' | 'layers'> {
  return {
    name: nameOf(namespace, image.name),
    digest: manifest.digest,
    layers: manifest.layers.map(({ chainID }) => chainID),
  };
}

/** In a user namespace containerd applies through a mount, and the kernel's marks are `user.overlay.` ones. */
function formatOf(snapshotter: string, inUserNamespace: boolean): AuditNode['format'] {
  if (snapshotter === 'native') {
    return 'flat';
  }
  return inUserNamespace ? 'overlay-userxattr' : 'overlay';
}

function isThere(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    () => false,
  );
}
