// For tests that kill and cut the power: images, what their snapshots must hold, and how to tell whether a store
// has them whole.

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import type { SnapshotInfo } from '../../src/index.js';
import { Store } from '../../src/index.js';
import { dir, file, hardlink, symlink, type TarItem, whiteout } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

/** A long run: `npm run soak`. */
export const soak = process.env.SOAK === '1';

const worker = path.join(import.meta.dirname, 'import-process.mjs');

/** Numbers from a seed, the same ones again for the same seed. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    // xorshift32 (Marsaglia 2003)
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Layers with files that differ from image to image, all kinds of entries, and links and whiteouts across layers. */
export function crashLayers(seed: number, count: number, files: number): TarItem[][] {
  const random = randomNumbers(seed + 1);
  return Array.from({ length: count }, (_, layer) => {
    const items: TarItem[] = [dir(`d${layer}`), dir(`d${layer}/sub`)];
    for (let at = 0; at < files; at++) {
      const size = Math.floor(random() ** 3 * 60_000);
      const content = Buffer.alloc(size, `${seed} ${layer} ${at} ${random()} `);
      items.push(file(`d${layer}/${at % 3 === 0 ? 'sub/' : ''}f${at}`, content));
    }
    items.push(symlink(`d${layer}/link`, 'sub'), hardlink(`d${layer}/hard`, `d${layer}/f1`));
    if (layer > 0) {
      items.push(whiteout(`d${layer - 1}/f1`), hardlink('from-below', `d${layer - 1}/f2`));
    }
    return items;
  });
}

/** Makes images that share their bottom layer; the references. */
export async function crashImages(
  directory: string,
  images: number,
  layers: number,
  files: number,
): Promise<string[]> {
  const references: string[] = [];
  const shared = crashLayers(0, 1, files);
  for (let image = 0; image < images; image++) {
    const own = crashLayers(image + 1, layers, files).slice(1);
    references.push(await writeImage(path.join(directory, `image${image}`), [...shared, ...own]));
  }
  return references;
}

/** What each snapshot must hold, by its name: imported once, undisturbed. */
export async function expectedSnapshots(
  root: string,
  references: readonly string[],
): Promise<Map<string, string>> {
  const store = await Store.open(root, { durability: 'none' });
  try {
    for (const reference of references) {
      await store.import(reference);
    }
    const expected = new Map<string, string>();
    for (const info of await snapshotsOf(store)) {
      expected.set(info.name, await treeHash(path.join(info.directory, 'fs')));
    }
    return expected;
  } finally {
    await store.close();
  }
}

export async function snapshotsOf(store: Store): Promise<SnapshotInfo[]> {
  const all: SnapshotInfo[] = [];
  await store.snapshots.walk((info) => {
    all.push(info);
  });
  return all;
}

/** A hash of all that can be seen of a tree. */
export async function treeHash(root: string): Promise<string> {
  const hash = createHash('sha256');
  const links = new Map<bigint, string>();
  const visit = async (at: string): Promise<void> => {
    const full = path.join(root, at);
    const { mode, uid, gid, mtimeNs, rdev, size, ino, nlink } = await lstat(full, { bigint: true });
    const kind = Number(mode) & 0o170000;
    hash.update(`${at}\0${mode} ${uid} ${gid} ${mtimeNs} ${rdev}\0`);
    if (kind === 0o040000) {
      for (const name of (await readdir(full)).sort()) {
        await visit(path.join(at, name));
      }
    } else if (kind === 0o120000) {
      hash.update(await readlink(full));
    } else if (kind === 0o100000) {
      const first = links.get(ino) ?? at;
      links.set(ino, first);
      hash.update(`${size} ${nlink} ${first}\0`);
      hash.update(await readFile(full));
    }
  };
  await visit('');
  return hash.digest('hex');
}

/** What is wrong with the committed snapshots of a store: those that are not as they must be. */
export async function wrongSnapshots(
  store: Store,
  expected: ReadonlyMap<string, string>,
  durabilities: readonly string[] = ['durable', 'unsynced'],
): Promise<string[]> {
  const wrong: string[] = [];
  for (const { name, kind, durability, directory } of await snapshotsOf(store)) {
    if (kind !== 'committed' || !durabilities.includes(durability)) {
      continue;
    }
    const hash = await treeHash(path.join(directory, 'fs')).catch((error: Error) => error.message);
    if (hash !== expected.get(name)) {
      wrong.push(`${name} (${durability}): ${hash}`);
    }
  }
  return wrong;
}

/** All that is in a store besides its metadata and what an open one has. */
export async function leftovers(root: string): Promise<string[]> {
  const found: string[] = [];
  const ofKinds = ['', 'native/', 'aufs/'].flatMap((at) => [`${at}snapshots`, `${at}staging`]);
  for (const name of ['locks', 'ingest', 'bundles', 'blobs/sha256', ...ofKinds]) {
    for (const entry of await readdir(path.join(root, name)).catch(() => [])) {
      const inner = name.endsWith('staging')
        ? await readdir(path.join(root, name, entry))
        : [entry];
      found.push(...inner.filter((one) => one !== 'lock').map((one) => `${name}/${one}`));
    }
  }
  const sessions = await readdir(path.join(root, 'sessions')).catch(() => []);
  return [...found, ...sessions.slice(1).map((one) => `sessions/${one}`)];
}

/** A process that imports. */
export interface Importer {
  process: ChildProcess;
  /** It has loaded everything and begins. */
  begun: Promise<void>;
  /** Its exit code, or the signal. */
  ended: Promise<number | string>;
  /** How many images are imported. */
  done(): number;
}

export function startImporter(
  root: string,
  durability: string,
  references: readonly string[],
): Importer {
  const child = spawn(process.execPath, [worker, root, durability, ...references], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let done = 0;
  const begun = new Promise<void>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      done += text.split('done').length - 1;
      resolve();
    });
    child.once('close', () => resolve());
  });
  const ended = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal ?? ''));
  });
  return { process: child, begun, ended, done: () => done };
}
