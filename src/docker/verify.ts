// Compares the layers of a Docker daemon (overlay2) with its own records of them. Docker keeps no blobs, but tar-splits
// that make a layer's tar again: its sha256 is the diffID where the contents are right. Where one is missing, the marks
// of the directories are all that can be checked. Nothing is written, the daemon may run.

import { lstatSync } from 'node:fs';
import { UnpackError } from '../errors.js';
import type { LayerResult } from '../native/index.js';
import {
  type AuditNode,
  auditStructure,
  boundNotes,
  chainOf,
  type Difference,
  type DirectoryTime,
  directoryTimes,
  findFile,
  type ImageAudit,
  isDamaged,
  type SnapshotAudit,
  summarize,
  type VerifyProgress,
  type VerifyReport,
  withAudit,
} from '../verify/index.js';
import { acceptDocker } from './applier.js';
import { type DockerImage, type DockerLayer, DockerStore } from './store.js';
import { assembleTar, changedFiles } from './tar-split.js';

/** What {@link verifyDocker} takes. */
export interface VerifyDockerOptions {
  /** Default `/var/lib/docker`. */
  root?: string | undefined;
  /** Only the image of this name or id; default all. */
  image?: string | undefined;
  /** Hidden paths that are listed of each snapshot and image; all are counted. Default 100. */
  mostPaths?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/** A report, with what a repair script needs to know. */
export interface DockerVerification {
  report: VerifyReport;
  /** All that the store has: others may have the same layers as those that were asked for. */
  images: DockerImage[];
  /** By a layer's directory: directories below it whose time differs, and what it should be. */
  times: Map<string, DirectoryTime[]>;
}

interface DockerNode extends AuditNode {
  parent: DockerNode | undefined;
  record: DockerLayer;
  times: DirectoryTime[];
  /** The tar, once it was put together. */
  result?: LayerResult;
}

/** moby applies a layer without looking at those below, as containerd does. */
const policies: AuditNode['policies'] = {
  symlinkParents: 'replace',
  overlayXattrs: 'escape',
  xattrs: 'strict',
  devices: 'create',
  deviceWhiteouts: 'accept',
  trailingGarbage: 'error',
  ownership: 'apply',
};

/**
 * Compares every layer of the images.
 *
 * @throws UnpackError `ERR_NOT_FOUND`, `ERR_PERMISSION`, `ERR_UNSUPPORTED` (other storage drivers; containerd's image
 *   store), `ERR_IMAGE_NOT_FOUND`, `ERR_INVALID_STORE`, `ERR_ABORTED`
 */
export async function verifyDocker(options: VerifyDockerOptions = {}): Promise<DockerVerification> {
  const started = performance.now();
  const store = DockerStore.open(options.root);
  const notes: string[] = [];
  const all = store.images((problem) => notes.push(problem));
  const images = chooseImages(store, all, options.image);
  const nodes = makeNodes(store, images, notes);
  const { mostPaths, signal, onProgress } = options;
  const report = await withAudit(
    [...nodes.values()].filter(({ tar }) => tar !== undefined),
    { deep: true, content: false, mostPaths, signal, onProgress },
    async (audit) => {
      const done = new Map<string, SnapshotAudit>();
      for (const one of audit.snapshots) {
        // All files were read, by way of the tar.
        const bytes = [...nodes.values()].find(({ directory }) => directory === one.directory)
          ?.result?.counts.bytes;
        done.set(one.directory, { ...one, source: 'manifest', bytes: bytes ?? 0, unchecked: 0 });
      }
      notes.push(...audit.notes);
      const rest = [...nodes.values()].filter(({ directory }) => !done.has(directory));
      for (const one of await auditStructure(rest.map(chainOf), { mostPaths })) {
        done.set(one.directory, one);
        notes.push(
          `layer ${one.chainID}: has no tar-split, or one that is damaged, here or below it: only its marks could be checked`,
        );
      }
      const damaged = new Set([...done.values()].filter(isDamaged).map((one) => one.directory));
      const found: ImageAudit[] = [];
      for (const image of images) {
        const own = image.chainIDs.flatMap((chainID) => nodes.get(chainID) ?? []);
        found.push({
          name: image.names[0] ?? image.id,
          digest: image.id,
          ok: !own.some(({ directory }) => damaged.has(directory)),
          layers: image.chainIDs,
          ...(await audit.imageVisibility(own)),
        });
      }
      const snapshots = [...nodes.values()].flatMap(({ directory }) => done.get(directory) ?? []);
      return { images: found, snapshots, damagedBlobs: [] };
    },
  );
  return {
    images: all,
    times: new Map([...nodes.values()].map(({ directory, times }) => [directory, times])),
    report: {
      version: 1,
      root: store.root,
      kind: 'docker',
      ...report,
      ...summarize(report),
      notes: boundNotes(notes),
      milliseconds: Math.round(performance.now() - started),
    },
  };
}

function chooseImages(
  store: DockerStore,
  all: DockerImage[],
  wanted: string | undefined,
): DockerImage[] {
  if (wanted === undefined) {
    return all;
  }
  const full = wanted.includes(':') ? wanted : `${wanted}:latest`;
  const chosen = all.filter(
    ({ id, names }) =>
      names.includes(wanted) ||
      names.includes(full) ||
      id === wanted ||
      (/^[0-9a-f]{4,64}$/.test(wanted) && id.startsWith(`sha256:${wanted}`)),
  );
  if (chosen.length === 0) {
    const names = all.flatMap((image) => image.names).slice(0, 20);
    throw new UnpackError(
      'ERR_IMAGE_NOT_FOUND',
      `${store.root}: has no image ${JSON.stringify(wanted)}; it has ${names.join(', ') || 'none'}`,
    );
  }
  return chosen;
}

function makeNodes(
  store: DockerStore,
  images: readonly DockerImage[],
  notes: string[],
): Map<string, DockerNode> {
  const nodes = new Map<string, DockerNode>();
  for (const { id, names, chainIDs } of images) {
    for (const [index, chainID] of chainIDs.entries()) {
      const below = index === 0 ? undefined : chainIDs[index - 1];
      const known = nodes.get(chainID);
      if (known === undefined) {
        const record = store.layer(chainID);
        const parent = below === undefined ? undefined : nodes.get(below);
        if (record === undefined || record.parent !== below) {
          notes.push(
            `image ${names[0] ?? id}: layer ${chainID} is not in layerdb, or on top of another one: it and those on it are not compared`,
          );
          break;
        }
        const node = makeNode(record, index, parent);
        nodes.set(chainID, node);
        const lowers = chainOf(node)
          .slice(0, -1)
          .map(({ directory }) => directory)
          .reverse();
        if (store.lowers(record)?.join() !== lowers.join()) {
          notes.push(
            `layer ${chainID}: its file lower names other directories than those of the layers below it: what Docker mounts is not the image`,
          );
        }
      }
    }
  }
  return nodes;
}

function makeNode(record: DockerLayer, layer: number, parent: DockerNode | undefined): DockerNode {
  const { chainID, diffID, directory, tarSplit, cacheID } = record;
  const hasTarSplit =
    lstatSync(tarSplit, { throwIfNoEntry: false })?.isFile() === true &&
    (parent === undefined || parent.tar !== undefined);
  const times: DirectoryTime[] = [];
  const node: DockerNode = {
    layer,
    chainID,
    snapshot: cacheID,
    parent,
    record,
    times,
    directory,
    format: 'overlay',
    policies: policiesOf(directory),
    limits: {},
    digest: diffID,
    size: 0,
    diffID,
    ...(hasTarSplit && {
      tar: {
        chunks: () => assembleTar(tarSplit, directory),
        done: (result: LayerResult) => {
          node.result = result;
        },
      },
    }),
    accept: async (differences, truth) => {
      const lowers = chainOf(node).slice(0, -1).reverse();
      const left = await acceptDocker(differences, {
        directory,
        lowers: lowers.map((one) => one.directory),
        ...truth,
      });
      times.push(...directoryTimes(left));
      return [...left, ...(await changedContents(node))];
    },
  };
  return node;
}

/** With userns-remap, all owners are shifted by that of the layers' roots. */
function policiesOf(directory: string): AuditNode['policies'] {
  const stats = lstatSync(directory, { throwIfNoEntry: false });
  if (stats === undefined || (stats.uid === 0 && stats.gid === 0)) {
    return policies;
  }
  const map = (hostID: number) => [{ containerID: 0, hostID, size: 65_536 }];
  return { ...policies, ownership: 'map', uidMap: map(stats.uid), gidMap: map(stats.gid) };
}

/** Where the tar does not have the diffID: the files whose checksums are others. */
async function changedContents({ record, result }: DockerNode): Promise<Difference[]> {
  if (result === undefined || result.diffID === record.diffID) {
    return [];
  }
  const differences: Difference[] = [];
  for (const name of await changedFiles(record.tarSplit, record.directory)) {
    const path = name.toString().replace(/^(\.?\/)+/, '');
    const file = await findFile(record.directory, path);
    if (file !== undefined) {
      const { mode, uid, gid, size, mtimeNs } = file.stats;
      const facts: NonNullable<Difference['found']> = {
        type: 'file',
        mode: Number(mode) & 0o7777,
        uid: Number(uid),
        gid: Number(gid),
        size: Number(size),
        mtimeSeconds: Number(mtimeNs / 1_000_000_000n),
        mtimeNanoseconds: Number(mtimeNs % 1_000_000_000n),
        xattrs: {},
      };
      differences.push({ path, expected: facts, found: facts, fields: ['content'] });
    }
  }
  return differences;
}
