// From a containerd's images to the directories of their layers: image, manifests, config, chainIDs, snapshots. Read
// only, of a store that may be in use: what is missing is told, not thrown.

import { UnpackError } from '../errors.js';
import {
  chainIDs,
  type Descriptor,
  mediaKind,
  parseConfig,
  parseIndex,
  parseManifest,
} from '../oci/index.js';
import { DirectoryFiles } from '../source/directory-files.js';
import { locateLayoutBlob, readLayoutBlob } from '../source/image-files.js';
import type { ContainerdContainer, ContainerdImage, ContainerdSnapshot } from './records.js';
import type { ContainerdStore } from './store.js';

/** One layer of a manifest. */
export interface ManifestLayer {
  chainID: string;
  diffID: string;
  descriptor: Descriptor;
}

/** A manifest that the store has, with its config. */
export interface StoredManifest {
  digest: string;
  /** Digest of its config. */
  config: string;
  /** `os/architecture` as its config says. */
  platform: string;
  /** Bottom first. */
  layers: ManifestLayer[];
}

/** A manifest's layers as snapshots of one snapshotter. */
export interface UnpackedChain {
  namespace: string;
  image: ContainerdImage;
  manifest: StoredManifest;
  snapshotter: string;
  /** Bottom first; as many as layers, fewer where the upper ones are not unpacked. */
  snapshots: ContainerdSnapshot[];
}

/** What there is to verify in a namespace. */
export interface NamespaceChains {
  namespace: string;
  chains: UnpackedChain[];
  /** Every snapshot, for what stands on the ones of images. */
  snapshots: ContainerdSnapshot[];
  images: ContainerdImage[];
  containers: ContainerdContainer[];
  /** What cannot be verified, and why. */
  notes: string[];
}

/** Indexes within indexes. */
const maxDepth = 8;

/** Reads the chains of a namespace's images; of one image where `only` names it. */
export async function readChains(
  store: ContainerdStore,
  namespace: string,
  only?: (image: ContainerdImage) => boolean,
): Promise<NamespaceChains> {
  const content = new ContainerdContent(store.root.content);
  const notes: string[] = [];
  const chains: UnpackedChain[] = [];
  const images = (await store.images(namespace)).filter((image) => only?.(image) ?? true);
  // After the images: a snapshot that is removed meanwhile is not missed then, as its image went first.
  const snapshots = await store.snapshots(namespace);
  const bySnapshotter = groupByKey(snapshots);
  for (const image of images) {
    const name = nameOf(namespace, image.name);
    const manifests = await content.manifests(image.target, (problem) => {
      notes.push(`${name}: ${problem}`);
    });
    let isUnpacked = false;
    for (const manifest of manifests) {
      for (const [snapshotter, byKey] of bySnapshotter) {
        const found = snapshotsOf(manifest, byKey);
        if (found.length === 0) {
          continue;
        }
        isUnpacked ||= found.length === manifest.layers.length;
        chains.push({ namespace, image, manifest, snapshotter, snapshots: found });
        if (found.length < manifest.layers.length) {
          notes.push(
            `${name}: ${snapshotter} has ${found.length} of the ${manifest.layers.length} layers for ${manifest.platform}; the others are not unpacked`,
          );
        }
      }
    }
    if (!isUnpacked && manifests.some(({ layers }) => layers.length > 0)) {
      notes.push(`${name}: is not unpacked`);
    }
  }
  const containers = await store.containers(namespace);
  return { namespace, chains, snapshots, images, containers, notes };
}

/** How an image is called in reports and notes. */
export function nameOf(namespace: string, image: string): string {
  return `[${namespace}]${image}`;
}

/** A snapshot that keeps its files in a directory. */
export function isReadable({ stored }: ContainerdSnapshot): boolean {
  return stored?.directory !== undefined;
}

function groupByKey(
  snapshots: readonly ContainerdSnapshot[],
): Map<string, Map<string, ContainerdSnapshot>> {
  const groups = new Map<string, Map<string, ContainerdSnapshot>>();
  for (const snapshot of snapshots) {
    const group = groups.get(snapshot.snapshotter) ?? new Map<string, ContainerdSnapshot>();
    groups.set(snapshot.snapshotter, group.set(snapshot.key, snapshot));
  }
  return groups;
}

/** The committed snapshots of the layers, bottom first, each on top of the one before. */
function snapshotsOf(
  { layers }: StoredManifest,
  byKey: ReadonlyMap<string, ContainerdSnapshot>,
): ContainerdSnapshot[] {
  const found: ContainerdSnapshot[] = [];
  for (const [index, { chainID }] of layers.entries()) {
    const snapshot = byKey.get(chainID);
    const parent = index === 0 ? '' : layers[index - 1]?.chainID;
    if (
      snapshot === undefined ||
      snapshot.parent !== parent ||
      snapshot.stored?.kind === 'active'
    ) {
      break;
    }
    found.push(snapshot);
  }
  return found;
}

/** The content store. */
export class ContainerdContent {
  readonly #files: DirectoryFiles;

  constructor(directory: string) {
    this.#files = new DirectoryFiles(directory);
  }

  /** Where a layer's blob lies; `ERR_BLOB_NOT_FOUND`, `ERR_SIZE_MISMATCH`. */
  locate(descriptor: Descriptor): Promise<{ path: string; offset: number; length: number }> {
    return locateLayoutBlob(this.#files, descriptor);
  }

  /** Whether a blob of the right size is there. */
  has(descriptor: Descriptor): Promise<boolean> {
    return this.locate(descriptor).then(
      () => true,
      () => false,
    );
  }

  /** The manifests that a descriptor leads to, as far as they and their configs are there. */
  async manifests(
    target: Descriptor,
    tell: (problem: string) => void,
    depth = 0,
  ): Promise<StoredManifest[]> {
    try {
      const kind = mediaKind(target.mediaType);
      if (kind === 'index' && depth < maxDepth) {
        const bytes = await readLayoutBlob(this.#files, target);
        const index = parseIndex(bytes, `index ${target.digest}`, target.mediaType);
        const found: StoredManifest[] = [];
        for (const entry of index.manifests) {
          // Those of other platforms are not there as a rule, and that is no fault.
          if (await this.has(entry)) {
            found.push(...(await this.manifests(entry, tell, depth + 1)));
          }
        }
        if (found.length === 0 && depth === 0) {
          tell('none of the manifests of its index is in the content store');
        }
        return found;
      }
      if (kind !== 'manifest') {
        tell(`${target.digest}: ${target.mediaType} is not a container image`);
        return [];
      }
      const manifest = await this.#manifest(target);
      return manifest === undefined ? [] : [manifest];
    } catch (error) {
      tell(UnpackError.from(error, target.digest).message);
      return [];
    }
  }

  /** Undefined for one that is no image: an attestation, say. */
  async #manifest(target: Descriptor): Promise<StoredManifest | undefined> {
    const bytes = await readLayoutBlob(this.#files, target);
    const name = `manifest ${target.digest}`;
    const { config: configDescriptor, layers } = parseManifest(bytes, name, target.mediaType);
    if (
      mediaKind(configDescriptor.mediaType) !== 'config' ||
      layers.some(({ mediaType }) => mediaKind(mediaType) === 'unknown')
    ) {
      return undefined;
    }
    const config = parseConfig(
      await readLayoutBlob(this.#files, configDescriptor),
      `config ${configDescriptor.digest}`,
    );
    const diffIDs = config.rootfs.diff_ids;
    if (diffIDs.length !== layers.length) {
      throw new UnpackError(
        'ERR_LAYER_COUNT',
        `${name}: has ${layers.length} layers, its config ${diffIDs.length} diff_ids`,
      );
    }
    const chain = chainIDs(diffIDs);
    return {
      digest: target.digest,
      config: configDescriptor.digest,
      platform: `${config.os ?? 'unknown'}/${config.architecture ?? 'unknown'}`,
      layers: layers.map((descriptor, index) => ({
        chainID: chain[index] as string,
        diffID: diffIDs[index] as string,
        descriptor,
      })),
    };
  }
}
