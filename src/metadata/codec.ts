// Records to and from the arrays that are stored. Fields are by position; new ones go to the end, so that a record of
// an older minor form reads as if they had their defaults.

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

export function decodeLabels(flat: unknown): Labels {
  const labels: Record<string, string> = {};
  const pairs = flat as FlatLabels;
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
  const [labels, createdAt, updatedAt, mediaType, digest, size, rest] = value as StoredImage;
  const target: Descriptor = { mediaType, digest, size };
  if (rest !== undefined) {
    Object.assign(target, JSON.parse(rest));
  }
  return { name, target, labels: decodeLabels(labels), createdAt, updatedAt };
}

export function encodeContent(info: ContentInfo): StoredContent {
  return [encodeLabels(info.labels), info.createdAt, info.updatedAt, info.size];
}

export function decodeContent(digest: string, value: unknown): ContentInfo {
  const [labels, createdAt, updatedAt, size] = value as StoredContent;
  return { digest, size, labels: decodeLabels(labels), createdAt, updatedAt };
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
  const [labels, createdAt, updatedAt, id, kind, parent, size, inodes, durable, bootID] =
    value as StoredSnapshot;
  return {
    key,
    name: key,
    id,
    kind: snapshotKinds[kind] ?? 'active',
    parent: parent === '' ? undefined : parent,
    labels: decodeLabels(labels),
    usage: size < 0 ? undefined : { size, inodes },
    durability: durable === 1 ? 'durable' : 'unsynced',
    bootID: bootID === '' ? undefined : bootID,
    createdAt,
    updatedAt,
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
