// Verifies the snapshots of a store: each against the manifest of its unpack, or the blob that it came from.

import type { Image } from '../metadata/index.js';
import type { SnapshotInfo } from '../snapshots/index.js';
import { choicesOf, type LayerChoices } from '../unpack/choices-label.js';
import { layerLabel, parseLayerLabel, type StoreLayer } from '../unpack/store-layers.js';
import {
  type AuditChainsOptions,
  type AuditNode,
  boundNotes,
  chainOf,
  type DamagedBlob,
  type ImageAudit,
  isDamaged,
  type SnapshotAudit,
  summarize,
  type VerifyReport,
  withAudit,
} from '../verify/index.js';
import type { StoreContext } from './context.js';
import { findImage, readImage } from './stored-image.js';
import { RepairCall } from './verify-repair.js';

/** Options of `Store.verify`. */
export interface VerifyOptions extends Omit<AuditChainsOptions, 'accept'> {
  /** Names of images, as for `Images.get`. Default: every committed snapshot of the store. */
  images?: readonly string[] | undefined;
  /** What is damaged is made again from its blob. Default false. */
  repair?: boolean | undefined;
  /** With `repair`: only says what it would do. Default false. */
  dryRun?: boolean | undefined;
}

/** A snapshot that can be verified. */
export interface StoreNode extends AuditNode {
  parent: StoreNode | undefined;
  /** What it was unpacked from, and how. */
  origin: StoreLayer;
  choices: LayerChoices;
  info: SnapshotInfo;
}

interface Selection {
  nodes: StoreNode[];
  images: { image: Image; chain: StoreNode[] }[];
  /** Not served any more, and not compared. */
  lost: StoreNode[];
  notes: string[];
}

/** Verifies, and repairs where that is wanted. */
export async function verifyStore(
  context: StoreContext,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const started = performance.now();
  const { images, repair = false, dryRun = false, ...audit } = options;
  const selection = await select(context, images ?? []);
  const found = await auditAll(context, selection, audit);
  const report: VerifyReport = {
    version: 1,
    ok: true,
    root: context.root,
    kind: 'oci-unpack',
    images: found.images,
    snapshots: found.snapshots,
    damagedBlobs: found.damagedBlobs,
    counts: summarize(found).counts,
    notes: [...selection.notes, ...found.notes],
    milliseconds: 0,
  };
  report.ok = summarize(report).ok;
  if (repair || dryRun) {
    const damaged = new Set(found.snapshots.filter(isDamaged).map(({ chainID }) => chainID));
    const call = new RepairCall(context, options);
    const wanted = selection.nodes.filter(
      (node) => damaged.has(node.chainID) || found.withoutManifest.has(node),
    );
    report.repairs = await call.run([...selection.lost, ...wanted], selection.nodes, dryRun);
    report.notes.push(...call.notes);
    const isHealed = report.repairs.every(({ status }) => status === 'done');
    report.ok = dryRun ? report.ok : isHealed && report.damagedBlobs.length === 0;
  }
  report.notes = boundNotes(report.notes);
  report.milliseconds = performance.now() - started;
  return report;
}

async function auditAll(
  context: StoreContext,
  { nodes, images }: Selection,
  options: AuditChainsOptions,
): Promise<{
  images: ImageAudit[];
  snapshots: SnapshotAudit[];
  damagedBlobs: DamagedBlob[];
  withoutManifest: ReadonlySet<AuditNode>;
  notes: string[];
}> {
  return withAudit(nodes, options, async (audit) => {
    const notes = [...audit.notes];
    const snapshots: SnapshotAudit[] = [];
    const gone = new Set<string>();
    for (const snapshot of audit.snapshots) {
      if (isDamaged(snapshot) && !(await isStillThere(context, snapshot))) {
        notes.push(`snapshot ${snapshot.snapshot}: was removed meanwhile`);
        gone.add(snapshot.chainID);
      } else {
        snapshots.push(snapshot);
      }
    }
    const damaged = new Set(snapshots.filter(isDamaged).map(({ chainID }) => chainID));
    const imageAudits: ImageAudit[] = [];
    for (const { image, chain } of images) {
      const layers = chain.map(({ chainID }) => chainID);
      imageAudits.push({
        name: image.name,
        digest: image.target.digest,
        ok: !layers.some((chainID) => damaged.has(chainID)),
        layers,
        ...(await audit.imageVisibility(chain.filter(({ chainID }) => !gone.has(chainID)))),
      });
    }
    const { damagedBlobs, withoutManifest } = audit;
    return { images: imageAudits, snapshots, damagedBlobs, withoutManifest, notes };
  });
}

/** Whether what was found missing is not simply a snapshot that somebody has removed or made anew. */
async function isStillThere(
  { snapshotter }: StoreContext,
  { snapshot, directory }: SnapshotAudit,
): Promise<boolean> {
  const info = await snapshotter.stat(snapshot).catch(() => undefined);
  return info !== undefined && directory === `${info.directory}/fs`;
}

async function select(context: StoreContext, names: readonly string[]): Promise<Selection> {
  const notes: string[] = [];
  const all = await committed(context, notes);
  const wanted = context.database.view((tx) =>
    names.length === 0 ? tx.images.list() : names.map((name) => findImage(tx.images, name)),
  );
  const images: Selection['images'] = [];
  for (const image of wanted) {
    try {
      const { layers } = await readImage(context, image);
      const chain = layers.flatMap(({ chainID }) => all.get(chainID) ?? []);
      if (chain.length < layers.length) {
        const count = layers.length - chain.length;
        notes.push(
          `image ${image.name}: ${count} of ${layers.length} layers ${count === 1 ? 'is' : 'are'} not unpacked`,
        );
      }
      images.push({ image, chain });
    } catch (error) {
      if (names.length > 0) {
        throw error;
      }
      notes.push(`image ${image.name}: cannot be read: ${(error as Error).message}`);
    }
  }
  const chosen =
    names.length === 0
      ? new Set(all.values())
      : new Set(images.flatMap(({ chain }) => chain.flatMap(chainOf)));
  const nodes = [...chosen].sort((a, b) => a.layer - b.layer || (a.chainID < b.chainID ? -1 : 1));
  const lost = nodes.filter(({ info }) => info.durability === 'lost');
  for (const { snapshot } of lost) {
    notes.push(
      `snapshot ${snapshot}: was not on the disk when an earlier boot ended; it is not served, and unpacked again when it is needed`,
    );
  }
  const sound = (chain: StoreNode[]) => chain.filter((node) => !lost.includes(node));
  return {
    nodes: sound(nodes),
    images: images.map(({ image, chain }) => ({ image, chain: sound(chain) })),
    lost,
    notes,
  };
}

/** The committed snapshots that are layers of images, by chainID. */
async function committed(context: StoreContext, notes: string[]): Promise<Map<string, StoreNode>> {
  const { snapshotter, content } = context;
  const infos = new Map<string, SnapshotInfo>();
  await snapshotter.walk((info) => {
    infos.set(info.name, info);
  }, 'kind==committed');
  const nodes = new Map<string, StoreNode>();
  const nodeOf = (name: string): StoreNode | undefined => {
    const known = nodes.get(name);
    const info = infos.get(name);
    const origin = parseLayerLabel(name, info?.labels[layerLabel]);
    if (known !== undefined || info === undefined || origin === undefined) {
      return known;
    }
    const parent = info.parent === undefined ? undefined : nodeOf(info.parent);
    if (info.parent !== undefined && parent === undefined) {
      return undefined;
    }
    const choices = choicesOf(info.labels);
    const { descriptor, diffID } = origin;
    const node: StoreNode = {
      chainID: name,
      snapshot: name,
      layer: parent === undefined ? 0 : parent.layer + 1,
      parent,
      directory: `${info.directory}/fs`,
      treeIndex: `${info.directory}/tree.idx`,
      format: snapshotter.format,
      ...choices,
      digest: descriptor.digest,
      size: descriptor.size,
      diffID,
      blob: () => content.locateBlob(descriptor),
      origin,
      choices,
      info,
    };
    nodes.set(name, node);
    return node;
  };
  for (const name of infos.keys()) {
    if (nodeOf(name) === undefined) {
      notes.push(`snapshot ${name}: is no layer of an image; there is nothing to compare it with`);
    }
  }
  return nodes;
}
