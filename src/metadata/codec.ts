// Records to and from the arrays that are stored. Fields are by position; new ones go to the end, so that a record of
// an older minor form reads as if they had their defaults. What lists decode is read by index: a pattern is twice as slow
// in code that is not compiled yet, as that of a command never is.

import type { Descriptor } from '../oci/index.js';
import {
  type Container,
  type ContentInfo,
  type Image,
  knownLabels,
  type Labels,
  type Lease,
  type Snapshot,
  snapshotKinds,
} from './schema.js';

const labelNumbers = new Map(knownLabels.map((label, number) => [label, number]));

/** Name, value, name, value...; the name a number where it is a known one. */
type FlatLabels = (string | number)[];

type StoredImage = [FlatLabels, number, number, string, string, number, string?];
type StoredContent = [FlatLabels, number, number, number];
type StoredSnapshot = [
  labels: FlatLabels,
  createdAt: number,
  updatedAt: number,
  id: number,
  kind: number,
  parent: string,
  size: number, // -1: unknown
  inodes: number,
  durable: number,
  bootID: string,
];
type StoredContainer = [FlatLabels, number, number, string, string, string, string];
type StoredLease = [FlatLabels, number, number];

export function encodeLabels(labels: Labels): FlatLabels {
  const flat: FlatLabels = [];
  for (const [name, value] of Object.entries(labels)) {
    flat.push(labelNumbers.get(name) ?? name, value);
  }
  return flat;
}

/** Shared: of ten thousand records most have none. */
const noLabels: Labels = Object.freeze({});

export function decodeLabels(flat: unknown): Labels {
  const pairs = flat as FlatLabels;
  if (pairs.length === 0) {
    return noLabels;
  }
  const labels: Record<string, string> = {};
  for (let at = 0; at + 1 < pairs.length; at += 2) {
    const stored = pairs[at] as string | number;
    const name = typeof stored === 'number' ? (knownLabels[stored] ?? `unknown.${stored}`) : stored;
    if (name === '__proto__') {
      Object.defineProperty(labels, name, {
        value: pairs[at + 1],
        enumerable: true,
        configurable: true,
        writable: true,
      });
    } else {
      labels[name] = pairs[at + 1] as string;
    }
  }
  return labels;
}

/** Where a {@link StoredImage} has what a list shows. */
export const imageListFields = { updatedAt: 2, digest: 4 } as const;

export function encodeImage(image: Image): StoredImage {
  const { mediaType, digest, size, ...rest } = image.target;
  const stored: StoredImage = [
    encodeLabels(image.labels),
    image.createdAt,
    image.updatedAt,
    mediaType,
    digest,
    size,
  ];
  if (Object.values(rest).some((value) => value !== undefined)) {
    stored.push(JSON.stringify(rest));
  }
  return stored;
}

export function decodeImage(name: string, value: unknown): Image {
  const stored = value as StoredImage;
  const target: Descriptor = { mediaType: stored[3], digest: stored[4], size: stored[5] };
  if (stored[6] !== undefined) {
    Object.assign(target, JSON.parse(stored[6]));
  }
  const labels = decodeLabels(stored[0]);
  return { name, target, labels, createdAt: stored[1], updatedAt: stored[2] };
}

export function encodeContent(info: ContentInfo): StoredContent {
  return [encodeLabels(info.labels), info.createdAt, info.updatedAt, info.size];
}

export function decodeContent(digest: string, value: unknown): ContentInfo {
  const stored = value as StoredContent;
  const labels = decodeLabels(stored[0]);
  return { digest, size: stored[3], labels, createdAt: stored[1], updatedAt: stored[2] };
}

export function encodeSnapshot(snapshot: Snapshot): StoredSnapshot {
  return [
    encodeLabels(snapshot.labels),
    snapshot.createdAt,
    snapshot.updatedAt,
    snapshot.id,
    snapshotKinds.indexOf(snapshot.kind),
    snapshot.parent ?? '',
    snapshot.usage?.size ?? -1,
    snapshot.usage?.inodes ?? 0,
    snapshot.durability === 'durable' ? 1 : 0,
    snapshot.bootID ?? '',
  ];
}

export function decodeSnapshot(key: string, value: unknown): Snapshot {
  const stored = value as StoredSnapshot;
  const parent = stored[5];
  const size = stored[6];
  const bootID = stored[9];
  return {
    key,
    name: key,
    id: stored[3],
    kind: snapshotKinds[stored[4]] ?? 'active',
    parent: parent === '' ? undefined : parent,
    labels: decodeLabels(stored[0]),
    usage: size < 0 ? undefined : { size, inodes: stored[7] },
    durability: stored[8] === 1 ? 'durable' : 'unsynced',
    bootID: bootID === '' ? undefined : bootID,
    createdAt: stored[1],
    updatedAt: stored[2],
  };
}

/** The parent alone, for walks over many snapshots. */
export function parentOfSnapshot(value: unknown): string | undefined {
  const parent = (value as StoredSnapshot)[5];
  return parent === '' ? undefined : parent;
}

/** The labels of a stored record of any kind, as they are stored. */
export function flatLabelsOf(value: unknown): FlatLabels {
  return (value as [FlatLabels])[0];
}

export function encodeContainer(container: Container): StoredContainer {
  return [
    encodeLabels(container.labels),
    container.createdAt,
    container.updatedAt,
    container.image,
    container.snapshotter,
    container.snapshotKey,
    JSON.stringify(container.spec ?? null),
  ];
}

export function decodeContainer(id: string, value: unknown): Container {
  const [labels, createdAt, updatedAt, image, snapshotter, snapshotKey, spec] =
    value as StoredContainer;
  return {
    id,
    image,
    snapshotter,
    snapshotKey,
    spec: JSON.parse(spec),
    labels: decodeLabels(labels),
    createdAt,
    updatedAt,
  };
}

export function encodeLease(lease: Lease): StoredLease {
  return [encodeLabels(lease.labels), lease.createdAt, lease.expiresAt ?? 0];
}

export function decodeLease(id: string, value: unknown): Lease {
  const [labels, createdAt, expiresAt] = value as StoredLease;
  return {
    id,
    labels: decodeLabels(labels),
    createdAt,
    expiresAt: expiresAt === 0 ? undefined : expiresAt,
  };
}

/** For garbage collection: the digest alone. */
export function imageTargetOf(value: unknown): string {
  return (value as StoredImage)[4];
}

export function containerReferenceOf(value: unknown): { snapshotter: string; snapshotKey: string } {
  const [, , , , snapshotter, snapshotKey] = value as StoredContainer;
  return { snapshotter, snapshotKey };
}

export function leaseExpiryOf(value: unknown): number | undefined {
  const expiresAt = (value as StoredLease)[2];
  return expiresAt === 0 ? undefined : expiresAt;
}

export function contentSizeOf(value: unknown): number {
  return (value as StoredContent)[3];
}

/** Bytes and inodes, 0 where they are not known, and the id. */
export function snapshotFactsOf(value: unknown): [size: number, inodes: number, id: number] {
  const [, , , id, , , size, inodes] = value as StoredSnapshot;
  return [Math.max(0, size), inodes, id];
}
