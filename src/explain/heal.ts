// The damage of (b) done to a real store: `verify` has to find it and to name its cause, and the repair has to heal it.

import path from 'node:path';
import { loadBinding } from '../native/index.js';
import { Store, type StoreReport } from '../store/index.js';
import type { Finding, PathList, SignatureID, VerifyReport } from '../verify/index.js';
import { replacedDirectory } from './image.js';
import { lookAt, type Way } from './ways.js';

/** What verifying and repairing came to. */
export interface Healing {
  /** The snapshot that was damaged, and where. */
  damaged: { chainID: string; directory: string; path: string };
  /** What `verify` found. */
  findings: Pick<Finding, 'kind' | 'path' | 'layer' | 'detail'>[];
  signatures: { id: SignatureID; explanation: string }[];
  /** What a container cannot see because of it. */
  hidden: PathList;
  /** All repairs are done. */
  repaired: boolean;
  /** `verify` again: nothing is found. */
  clean: boolean;
  /** The image as it is mounted afterwards. */
  after: Way;
}

/** Damages the top layer of the image in `store` as the old kernels did, then verifies and repairs. */
export async function damageAndHeal(
  store: Store,
  image: StoreReport,
  target: string,
  marks: { opaque: string; userxattr: boolean },
  signal: AbortSignal | undefined,
): Promise<Healing> {
  const top = image.layers.at(-1);
  const directory = top?.directory ?? '';
  const copy = { path: path.join(directory, replacedDirectory), name: marks.opaque, value: 'y' };
  loadBinding().writeXattr(copy);
  const found = await store.verify({ images: [image.name], signal });
  const healed = await store.verify({ images: [image.name], repair: true, signal });
  const again = await store.verify({ images: [image.name], signal });
  const directories = image.layers.map((layer) => layer.directory);
  return {
    damaged: { chainID: top?.chainID ?? '', directory, path: replacedDirectory },
    findings: found.snapshots.flatMap(({ findings }) =>
      findings.map(({ kind, path: at, layer, detail }) => ({ kind, path: at, layer, detail })),
    ),
    signatures: found.snapshots.flatMap(({ signatures }) =>
      signatures.map(({ id, explanation }) => ({ id, explanation })),
    ),
    hidden: hiddenIn(found),
    repaired: healed.ok,
    clean: again.ok,
    after: await lookAt('oci-unpack', directories, target, marks),
  };
}

function hiddenIn({ images, snapshots }: VerifyReport): PathList {
  const [image] = images;
  return image?.hidden ?? snapshots.at(-1)?.hidden ?? { paths: [], total: 0 };
}

/** Runs `work` with a new store at `root`, which nothing waits for to be on the disk. */
export async function withNewStore<T>(
  root: string,
  work: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await Store.open(root, { kind: 'overlayfs', durability: 'none' });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}
