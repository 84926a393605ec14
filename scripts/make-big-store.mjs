#!/usr/bin/env node
// Makes the metadata of a big store: node scripts/make-big-store.mjs ROOT [IMAGES [LAYERS]]. Each image (10,000) has a
// manifest, a config, LAYERS layers (10) and as many committed snapshots, with the labels that unpacking gives them.
// Records only: there are no blobs and no directories.

import { createHash } from 'node:crypto';
import { pathToFileURL } from 'node:url';

// By its address: what dist/ is built from has the types, and dist/ need not be there to check them.
const { Database } = /** @type {typeof import('../src/metadata/index.js')} */ (
  await import(new URL('../dist/metadata/index.js', import.meta.url).href)
);

const perTransaction = 500;
const gzip = 'application/vnd.oci.image.manifest.v1+json';

/** @param {string} text */
const digestOf = (text) => `sha256:${createHash('sha256').update(text).digest('hex')}`;

/**
 * @param {string} root
 * @param {number} images
 * @param {number} layers
 */
export async function makeBigStore(root, images = 10_000, layers = 10) {
  const database = Database.open(root, { durability: 'none' });
  for (let from = 0; from < images; from += perTransaction) {
    database.update((tx) => {
      for (let image = from; image < Math.min(images, from + perTransaction); image++) {
        makeImage(tx, image, layers);
      }
    });
  }
  await database.close();
}

/**
 * @param {import('../src/metadata/index.js').Transaction} tx
 * @param {number} image
 * @param {number} layers
 */
function makeImage(tx, image, layers) {
  const path = `team-${image % 100}/service-${image}`;
  const source = { 'containerd.io/distribution.source.docker.io': path };
  const manifest = digestOf(`manifest ${image}`);
  const config = digestOf(`config ${image}`);
  /** @type {Record<string, string>} */
  const labels = { ...source, 'containerd.io/gc.ref.content.config': config };
  const snapshots = tx.snapshots('overlayfs');
  let chain = '';
  for (let layer = 0; layer < layers; layer++) {
    const blob = digestOf(`layer ${image} ${layer}`);
    const diffID = digestOf(`diff ${image} ${layer}`);
    const parent = chain;
    chain = chain === '' ? diffID : digestOf(`${chain} ${diffID}`);
    labels[`containerd.io/gc.ref.content.l.${layer}`] = blob;
    tx.content.create({
      digest: blob,
      size: 1_000_000 + layer,
      labels: { ...source, 'containerd.io/uncompressed': diffID },
    });
    const active = `extract-${image}-${layer} ${chain}`;
    snapshots.create({
      key: active,
      kind: 'active',
      parent,
      labels: { 'containerd.io/snapshot.ref': chain },
    });
    snapshots.commit(active, chain, {
      usage: { size: 2_000_000, inodes: 300 },
      durability: 'durable',
    });
  }
  tx.content.create({ digest: manifest, size: 2000, labels });
  tx.content.create({
    digest: config,
    size: 4000,
    labels: { ...source, 'containerd.io/gc.ref.snapshot.overlayfs': chain },
  });
  tx.images.create({
    name: `docker.io/${path}:1.${image}`,
    target: { mediaType: gzip, digest: manifest, size: 2000 },
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [root, images, layers] = process.argv.slice(2);
  if (root === undefined) {
    console.error('usage: make-big-store.mjs ROOT [IMAGES [LAYERS]]');
    process.exit(2);
  }
  await makeBigStore(root, Number(images ?? 10_000), Number(layers ?? 10));
}
