// Whether the reader of a containerd's store says what ctr says: every image, blob and snapshot, with their labels.

import { stat } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'vitest';
import type {
  ContainerdBlob,
  ContainerdImage,
  ContainerdSnapshot,
  ContainerdStore,
} from '../../src/containerd/index.js';
import type { TestContainerd } from './containerd.js';

export async function expectImages(
  daemon: TestContainerd,
  store: ContainerdStore,
  namespace: string,
): Promise<ContainerdImage[]> {
  const rows = await daemon.rows(namespace, 'images', 'ls');
  const images = await store.images(namespace);
  expect(images.map((one) => [one.name, one.target.mediaType, one.target.digest])).toEqual(
    rows.map(([ref, type, digest]) => [ref, type, digest]),
  );
  expect(images.map((one) => labelText(one.labels).join() || '-')).toEqual(
    rows.map((row) => row.at(-1)),
  );
  for (const image of images) {
    const blob = blobPath(daemon.root, image.target.digest);
    expect((await stat(blob)).size).toBe(image.target.size);
  }
  return images;
}

export async function expectBlobs(
  daemon: TestContainerd,
  store: ContainerdStore,
  namespace: string,
): Promise<ContainerdBlob[]> {
  const rows = await daemon.rows(namespace, 'content', 'ls');
  const blobs = await store.blobs(namespace);
  // ctr prints these labels in any order.
  const sorted = (labels: string) => labels.split(',').sort();
  expect(blobs.map((one) => [one.digest, sorted(labelText(one.labels).join() || '-')])).toEqual(
    rows.map((row) => [row[0], sorted(row.at(-1) ?? '')]),
  );
  for (const { digest, size } of blobs) {
    expect((await stat(blobPath(daemon.root, digest))).size).toBe(size);
  }
  return blobs;
}

export async function expectSnapshots(
  daemon: TestContainerd,
  store: ContainerdStore,
  namespace: string,
): Promise<ContainerdSnapshot[]> {
  const rows = await daemon.rows(namespace, 'snapshots', 'ls');
  const snapshots = await store.snapshots(namespace);
  expect(snapshots.map(({ key, parent, stored }) => [key, parent, stored?.kind]).sort()).toEqual(
    rows
      .map((row) => [row[0], row.length > 2 ? row[1] : '', (row.at(-1) ?? '').toLowerCase()])
      .sort(),
  );
  for (const { key, parent, labels, stored, ...own } of snapshots) {
    const info = JSON.parse(await daemon.ctr(namespace, 'snapshots', 'info', key));
    expect(own.snapshotter).toBe('overlayfs');
    expect({
      Kind: stored?.kind,
      Name: key,
      Parent: parent,
      Labels: { ...stored?.labels, ...labels },
      Created: own.createdAt,
      Updated: own.updatedAt,
    }).toEqual({
      ...info,
      Kind: info.Kind.toLowerCase(),
      Parent: info.Parent ?? '',
      Labels: info.Labels ?? {},
    });
    expect((await stat(stored?.directory ?? '')).isDirectory()).toBe(true);
  }
  return snapshots;
}

function blobPath(root: string, digest: string): string {
  return path.join(root, 'io.containerd.content.v1.content/blobs', digest.replace(':', '/'));
}

/** Labels as ctr's tables have them. */
export function labelText(labels: Record<string, string>): string[] {
  const pairs = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return pairs.length === 0 ? [] : [pairs.map(([key, value]) => `${key}=${value}`).join(',')];
}
