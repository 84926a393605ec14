// What a Docker daemon with storage driver overlay2 keeps of images and layers, in plain files (moby's image/fs.go,
// reference/store.go, layer/filestore.go and graphdriver/overlay2). Only read; the daemon may run.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import {
  chainIDs,
  isDigest,
  matchesDigest,
  parseConfig,
  parseDigest,
  parseJson,
} from '../oci/index.js';

/** Where Docker keeps its data unless told otherwise. */
export const defaultDockerRoot = '/var/lib/docker';

/** The driver whose layers are directories that overlayfs mounts. */
const driver = 'overlay2';
/** Longer than any of the files that hold one value. */
const maxFileSize = 64 * 1024 * 1024;

/** An image. */
export interface DockerImage {
  /** Digest of its config. */
  id: string;
  /** Its tags, or its digests where it has none; empty for one without any name. */
  names: string[];
  /** The image that it was built on, where the daemon knows it: it goes with the last of its children if it has no name. */
  parent?: string | undefined;
  /** Bottom first. */
  diffIDs: string[];
  chainIDs: string[];
}

/** A layer on top of others. */
export interface DockerLayer {
  chainID: string;
  diffID: string;
  /** ChainID of the layer below; undefined for a bottom one. */
  parent: string | undefined;
  /** Name of its directory below `overlay2`. */
  cacheID: string;
  /** With its files. */
  directory: string;
  /** Names of all entries of its tar, with everything of the headers; may be missing. */
  tarSplit: string;
}

export class DockerStore {
  readonly root: string;
  /** Names of layers' directories by those of the links to them; read once, for all layers. */
  #links: ReadonlyMap<string, string> | undefined;

  private constructor(root: string) {
    this.root = root;
  }

  /**
   * Opens the store below a root directory, as `/var/lib/docker` is.
   *
   * @throws UnpackError `ERR_NOT_FOUND`, `ERR_PERMISSION`; `ERR_UNSUPPORTED` for other drivers, and where the images
   *   are in containerd's store
   */
  static open(directory: string = defaultDockerRoot): DockerStore {
    const root = path.resolve(directory);
    const drivers = namesIn(path.join(root, 'image'));
    if (drivers?.includes(driver) && (namesIn(path.join(root, driver)) ?? []).length > 0) {
      return new DockerStore(root);
    }
    const containerd = path.join(root, 'containerd', 'daemon');
    if (namesIn(path.join(containerd, 'io.containerd.metadata.v1.bolt')) !== undefined) {
      throw new UnpackError(
        'ERR_UNSUPPORTED',
        `${root}: this Docker keeps its images in containerd's image store, not in ${driver}: oci-unpack verify --containerd ${containerd} --namespace moby`,
        { path: root },
      );
    }
    if (drivers === undefined) {
      throw new UnpackError(
        'ERR_NOT_FOUND',
        `${root}: is not the root of a Docker daemon (docker info: Docker Root Dir): it has no directory image`,
        { path: root },
      );
    }
    const found = drivers.filter((name) => name !== driver).join(', ');
    throw new UnpackError(
      'ERR_UNSUPPORTED',
      `${root}: has no layers of storage driver ${driver}${found === '' ? '' : ` but of ${found}, which are not directories that overlayfs mounts`}; where Docker uses containerd's image store: oci-unpack verify --containerd --namespace moby`,
      { path: root },
    );
  }

  /** The images, by name; what is damaged is told to `tell` and left out. */
  images(tell: (problem: string) => void): DockerImage[] {
    const names = this.#names();
    const directory = path.join(this.#image, 'imagedb', 'content', 'sha256');
    const images: DockerImage[] = [];
    for (const hex of namesIn(directory) ?? []) {
      const id = `sha256:${hex}`;
      try {
        const bytes = readSmall(path.join(directory, hex));
        if (!isDigest(id) || !matchesDigest(bytes, id)) {
          throw new UnpackError('ERR_DIGEST_MISMATCH', `image ${id}: its config is damaged`);
        }
        const diffIDs = parseConfig(bytes, `image ${id}`).rootfs.diff_ids;
        images.push({
          id,
          names: names.get(id) ?? [],
          parent: this.#parentOf(hex),
          diffIDs,
          chainIDs: chainIDs(diffIDs),
        });
      } catch (error) {
        tell(UnpackError.from(error, id).message);
      }
    }
    return images.sort((a, b) => ((a.names[0] ?? a.id) < (b.names[0] ?? b.id) ? -1 : 1));
  }

  /**
   * The record of a layer; undefined where there is none.
   *
   * @throws UnpackError `ERR_INVALID_STORE`
   */
  layer(chainID: string): DockerLayer | undefined {
    const hex = parseDigest(chainID)?.hex ?? '';
    const directory = path.join(this.#image, 'layerdb', 'sha256', hex);
    if (hex === '' || namesIn(directory) === undefined) {
      return undefined;
    }
    const value = (name: string) => readSmall(path.join(directory, name)).toString().trim();
    const fail = (problem: string): never => {
      throw new UnpackError('ERR_INVALID_STORE', `${directory}: ${problem}`, { path: directory });
    };
    const cacheID = value('cache-id');
    // No path is made of what could leave the root.
    if (!/^[a-z0-9]{1,128}$/.test(cacheID)) {
      fail(`cache-id ${JSON.stringify(cacheID)} is no name of a directory`);
    }
    const diffID = value('diff');
    const parent = namesIn(directory)?.includes('parent') ? value('parent') : undefined;
    if (!isDigest(diffID) || (parent !== undefined && !isDigest(parent))) {
      fail('diff or parent is not a digest');
    }
    return {
      chainID,
      diffID,
      parent,
      cacheID,
      directory: path.join(this.root, driver, cacheID, 'diff'),
      tarSplit: path.join(directory, 'tar-split.json.gz'),
    };
  }

  /**
   * The directories below a layer's, topmost first, as the driver mounts them: `lower` names links to them.
   * Undefined where that is damaged.
   */
  lowers({ cacheID }: DockerLayer): string[] | undefined {
    const home = path.join(this.root, driver);
    try {
      const own = path.join(home, cacheID);
      if (!namesIn(own)?.includes('lower')) {
        return [];
      }
      const links = readSmall(path.join(own, 'lower')).toString().trim().split(':');
      this.#links ??= readLinks(home);
      const byLink = this.#links;
      const names = links.map((link) => byLink.get(link.replace(/^l\//, '')));
      return names.every((name) => name !== undefined)
        ? names.map((name) => path.join(home, name, 'diff'))
        : undefined;
    } catch {
      return undefined;
    }
  }

  get #image(): string {
    return path.join(this.root, 'image', driver);
  }

  #parentOf(hex: string): string | undefined {
    const directory = path.join(this.#image, 'imagedb', 'metadata', 'sha256', hex);
    return namesIn(directory)?.includes('parent')
      ? readSmall(path.join(directory, 'parent')).toString().trim()
      : undefined;
  }

  /** Names by the image's id. */
  #names(): Map<string, string[]> {
    const file = path.join(this.#image, 'repositories.json');
    const names = new Map<string, string[]>();
    if (!namesIn(this.#image)?.includes('repositories.json')) {
      return names;
    }
    const repositories = parseJson(readSmall(file), file).optionalObject('Repositories')?.raw ?? {};
    const pairs = Object.values(repositories).flatMap((one) => Object.entries(Object(one)));
    for (const [name, id] of pairs) {
      names.set(String(id), [...(names.get(String(id)) ?? []), name].sort());
    }
    for (const [id, all] of names) {
      const tags = all.filter((name) => !name.includes('@'));
      names.set(id, tags.length > 0 ? tags : all);
    }
    return names;
  }
}

function readLinks(home: string): Map<string, string> {
  const byLink = new Map<string, string>();
  for (const name of namesIn(home) ?? []) {
    if (name !== 'l' && namesIn(path.join(home, name))?.includes('link')) {
      const link = readSmall(path.join(home, name, 'link'))
        .toString()
        .trim();
      byLink.set(link, name);
    }
  }
  return byLink;
}

/** Names in a directory; undefined where there is none. */
function namesIn(directory: string): string[] | undefined {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) {
      return undefined;
    }
    throw UnpackError.fromSystem(error, directory);
  }
}

function readSmall(file: string): Buffer {
  try {
    const stats = statSync(file);
    if (!stats.isFile() || stats.size > maxFileSize) {
      throw new UnpackError('ERR_INVALID_STORE', `${file}: is not a file of a store`, {
        path: file,
      });
    }
    return readFileSync(file);
  } catch (error) {
    throw error instanceof UnpackError ? error : UnpackError.fromSystem(error, file);
  }
}
