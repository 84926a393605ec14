// Random images for the differential test. Few names and little depth, so that layers meet: the same path comes as
// file, directory, symlink, whiteout. What the model refuses is left out while generating.

import { type Bytes, type LayerEntry, type SparseExtent, toBytes, toKey } from './layer-entry.js';
import { Model, ModelError } from './model.js';
import { Random } from './random.js';
import type { TarEntry } from './tar-builder.js';

export interface GeneratedImage {
  seed: number;
  /** Bottom first. */
  layers: TarEntry[][];
}

const names = ['a', 'b', 'c', 'd', 'e'];
const rareNames: Buffer[] = [
  Buffer.from('ż文'),
  Buffer.from([0x6e, 0xff, 0xfe]),
  Buffer.from('n'.repeat(120)),
  Buffer.from(' .wh'),
  Buffer.from('back\\slash'),
  Buffer.from('new\nline'),
];
const modes = [0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1777, 0o6711, 0o000, 0o777, 0o3770];
const owners = [0, 0, 0, 1000, 65_534, 100_000, 3_000_000, 4_294_967_294];
const times = [
  1_600_000_000_000_000_000n,
  0n,
  -1_500_000_000n,
  1_234_567_890_123_456_789n,
  1_000_000_000_000_000_001n,
  8_589_934_592_000_000_000n,
  -86_400_000_000_000n,
];
const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
const xattrChoices: [string, Bytes][] = [
  ['user.note', 'hello'],
  ['user.binary', Buffer.from([0, 0x0a, 0x3d, 0xff, 0])],
  ['user.empty', ''],
  ['trusted.mark', 'x'],
  ['security.other', 'label'],
  ['trusted.overlay.opaque', 'y'],
  ['trusted.overlay.redirect', '/a'],
  ['trusted.overlay.overlay.opaque', 'y'],
  ['user.overlay.whiteout', ''],
  ['user.overlay.opaque', 'x'],
];

export interface GenerateOptions {
  /**
   * Only what umoci takes as well: few xattrs and on files only, no sparse files, no hard links to what comes later,
   * no parents that are something else, no setgid directories, which it lets their
   * children inherit, no markers whose order matters.
   */
  plain?: boolean;
}

export function generateImage(seed: number, options: GenerateOptions = {}): GeneratedImage {
  return new Generator(seed, options).image();
}

class Generator {
  readonly #seed: number;
  readonly #plain: boolean;
  readonly #random: Random;
  /** Paths that some entry has named; more likely to be named again. */
  #known: string[] = [];

  constructor(seed: number, options: GenerateOptions) {
    this.#seed = seed;
    this.#plain = options.plain ?? false;
    this.#random = new Random(seed * 2_654_435_761 + 1);
  }

  image(): GeneratedImage {
    const layers: TarEntry[][] = [];
    const model = new Model();
    const count = 2 + this.#random.below(4);
    for (let i = 0; i < count; i++) {
      const layer = this.#layer(model, i === 0);
      layers.push(layer);
      model.apply(layer);
    }
    return { seed: this.#seed, layers };
  }

  #layer(below: Model, bottom: boolean): TarEntry[] {
    let layer: TarEntry[] = [];
    const wanted = 3 + this.#random.below(bottom ? 22 : 14);
    for (let tries = 0; tries < wanted * 2 && layer.length < wanted; tries++) {
      const longer = this.#insert(layer, this.#candidate(below, bottom));
      if (accepts(below, longer, this.#plain)) {
        layer = longer;
      }
    }
    return layer;
  }

  // Mostly at the end, as tars grow; sometimes anywhere before.
  #insert(layer: readonly TarEntry[], added: readonly TarEntry[]): TarEntry[] {
    const result = [...layer];
    for (const [i, entry] of added.entries()) {
      const atEnd = i === added.length - 1 || this.#random.chance(0.4);
      result.splice(atEnd ? result.length : this.#random.below(result.length + 1), 0, entry);
    }
    return result;
  }

  #candidate(below: Model, bottom: boolean): TarEntry[] {
    const random = this.#random;
    const kind = random.below(100);
    const marks = bottom ? 4 : 24;
    if (kind < marks) {
      return [this.#marker(random.below(marks) < marks / 4)];
    }
    if (kind < marks + 2) {
      return [this.#with({ type: 'directory', path: random.pick(['./', '.', '/', 'a/..']) })];
    }
    const path = this.#path();
    if (kind < 48) {
      return [this.#file(path)];
    }
    if (kind < 64) {
      const slash = random.chance(0.5) ? '/' : '';
      return [this.#with({ type: 'directory', path: this.#spelled(path, slash) })];
    }
    if (kind < 77) {
      const linkpath = this.#symlinkTarget();
      return [this.#with({ type: 'symlink', path: this.#spelled(path), linkpath })];
    }
    if (kind < 94) {
      return this.#hardlink(path, below);
    }
    if (kind < 97) {
      return [this.#with({ type: 'fifo', path: this.#spelled(path) })];
    }
    const type = random.chance(0.7) ? 'char' : 'block';
    const [major, minor] = [1 + random.below(300), random.below(70_000)];
    return [this.#with({ type, path: this.#spelled(path), major, minor })];
  }

  #file(path: string): TarEntry {
    const random = this.#random;
    const entry: TarEntry = { type: 'file', path: this.#spelled(path) };
    if (!this.#plain && random.chance(0.04)) {
      entry.sparse = this.#sparse();
      entry.sparseForm = random.pick(['old-gnu', '0.0', '0.1', '1.0'] as const);
    } else {
      const size = random.chance(0.03) ? 300_000 + random.below(400_000) : random.below(2000);
      entry.content = this.#content(random.chance(0.2) ? 0 : size);
    }
    return this.#with(entry);
  }

  #sparse(): { size: number; extents: SparseExtent[] } {
    const extents: SparseExtent[] = [];
    let offset = 0;
    for (let i = this.#random.below(30); i > 0; i--) {
      offset += 512 * this.#random.below(40);
      const data = this.#content(512 * (1 + this.#random.below(4)));
      extents.push({ offset, data });
      offset += data.length;
    }
    return { size: offset + this.#random.below(100_000), extents };
  }

  #content(size: number): Buffer {
    const content = Buffer.alloc(size);
    const start = this.#random.below(251);
    for (let i = 0; i < size; i++) {
      content[i] = (start + i * 7 + (i >> 8)) % 255;
    }
    return content;
  }

  #hardlink(path: string, below: Model): TarEntry[] {
    const random = this.#random;
    const link = (target: string): TarEntry =>
      this.#with({ type: 'hardlink', path: this.#spelled(path), linkpath: this.#spelled(target) });
    if (!this.#plain && random.chance(0.2)) {
      const target = this.#path();
      return [link(target), this.#file(target)];
    }
    if (random.chance(0.6)) {
      const files = [...below.tree().values()].filter((entry) => entry.type !== 'directory');
      if (files.length > 0) {
        return [link(random.pick(files).path)];
      }
    }
    return [link(this.#path())];
  }

  #marker(opaque: boolean): TarEntry {
    const random = this.#random;
    const path = this.#path();
    const slash = path.lastIndexOf('/') + 1;
    const marker = opaque
      ? random.chance(0.1)
        ? '.wh..wh..opq'
        : `${path}/.wh..wh..opq`
      : `${path.slice(0, slash)}.wh.${path.slice(slash)}`;
    const type = random.pick(['file', 'file', 'file', 'file', 'file', 'directory'] as const);
    return { type, path: this.#spelled(marker) };
  }

  #symlinkTarget(): Bytes {
    const random = this.#random;
    const path = this.#path();
    return latin1(
      random.pick([
        path,
        `/${path}`,
        `../${path}`,
        random.pick(names),
        random.pick(names),
        `/${random.pick(names)}`,
        '.',
        '..',
        '/',
        `../../../${random.pick(names)}`,
        `${path}/..`,
      ]),
    );
  }

  /** A path below the root as a key; often one that was there before, or one below it. */
  #path(): string {
    const random = this.#random;
    if (this.#known.length > 0 && random.chance(0.55)) {
      const known = random.pick(this.#known);
      return random.chance(0.35) && known.split('/').length < 5
        ? `${known}/${this.#name()}`
        : known;
    }
    const depth = 1 + random.below(random.chance(0.2) ? 4 : 2);
    const path = Array.from({ length: depth }, () => this.#name()).join('/');
    this.#known.push(path);
    return path;
  }

  #name(): string {
    return this.#random.chance(0.04)
      ? toKey(this.#random.pick(rareNames))
      : this.#random.pick(names);
  }

  /** The same path, spelled in one of the ways that tars have. */
  #spelled(path: string, end = ''): Buffer {
    const random = this.#random;
    if (random.chance(0.6)) {
      return latin1(path + end);
    }
    const parts = path.split('/');
    const at = random.below(parts.length);
    const spelled = random.pick([
      () => `./${path}`,
      () => `/${path}`,
      () => `//${path}`,
      () => parts.join('//'),
      () => parts.join('/./'),
      () => [...parts.slice(0, at), 'x', '..', ...parts.slice(at)].join('/'),
      () => ['.', ...parts.slice(0, at), random.pick(names), '..', ...parts.slice(at)].join('/'),
    ])();
    return latin1(spelled + end);
  }

  #with(entry: TarEntry): TarEntry {
    const random = this.#random;
    const made: TarEntry = { ...entry };
    if (random.chance(0.7)) {
      made.mode = random.pick(modes) & (this.#plain ? 0o5777 : 0o7777);
      made.uid = random.pick(owners);
      made.gid = random.pick(owners);
      made.mtime = random.pick(times);
    }
    if (random.chance(0.2) && (!this.#plain || entry.type === 'file')) {
      const choices = this.#plain ? xattrChoices.slice(0, 2) : xattrChoices;
      made.xattrs = Object.fromEntries([random.pick(choices), random.pick(choices)]);
      if (entry.type === 'file' && random.chance(0.3)) {
        made.xattrs['security.capability'] = capability;
      }
      made.xattrStyle = !this.#plain && random.chance(0.2) ? 'LIBARCHIVE' : 'SCHILY';
    } else if ((made.mtime ?? 0n) % 1_000_000_000n === 0n && made.sparse === undefined) {
      made.style = random.chance(0.2) ? 'gnu' : 'pax';
    }
    return made;
  }
}

function latin1(key: string): Buffer {
  return Buffer.from(key, 'latin1');
}

function accepts(below: Model, layer: readonly LayerEntry[], plain = false): boolean {
  const model = below.clone();
  try {
    model.apply(layer);
    return !plain || (model.replacedParents === 0 && !model.entangledMarkers);
  } catch (error) {
    if (error instanceof ModelError) {
      return false;
    }
    throw error;
  }
}

/** The layers in words, one entry a line. */
export function describeImage(image: GeneratedImage): string {
  const lines = [`seed ${image.seed}`];
  for (const [i, layer] of image.layers.entries()) {
    lines.push(`layer ${i}:`, ...layer.map((entry) => `  ${describeEntry(entry)}`));
  }
  return lines.join('\n');
}

function describeEntry(entry: TarEntry): string {
  const parts = [entry.type.padEnd(9), JSON.stringify(toBytes(entry.path).toString('latin1'))];
  if (entry.linkpath !== undefined) {
    parts.push('->', JSON.stringify(toBytes(entry.linkpath).toString('latin1')));
  }
  if (entry.mode !== undefined) {
    parts.push(`${entry.mode.toString(8)} ${entry.uid}:${entry.gid} ${entry.mtime}`);
  }
  if (entry.sparse !== undefined) {
    parts.push(`sparse ${entry.sparse.size}`);
  } else if (entry.content !== undefined) {
    parts.push(`${toBytes(entry.content).length} bytes`);
  }
  if (entry.xattrs !== undefined) {
    parts.push(Object.keys(entry.xattrs).join(','));
  }
  return parts.join(' ');
}

/** The image with as few entries as still make `fails` true; the number of layers is kept. */
export async function minimizeImage(
  image: GeneratedImage,
  fails: (image: GeneratedImage) => Promise<boolean>,
): Promise<GeneratedImage> {
  let best = image;
  for (let progress = true; progress; ) {
    progress = false;
    for (let l = best.layers.length - 1; l >= 0; l--) {
      for (let e = (best.layers[l] as TarEntry[]).length - 1; e >= 0; e--) {
        const layers = best.layers.map((layer, i) => (i === l ? layer.toSpliced(e, 1) : layer));
        const smaller = { seed: image.seed, layers };
        if (isAccepted(layers) && (await fails(smaller))) {
          best = smaller;
          progress = true;
        }
      }
    }
  }
  return best;
}

function isAccepted(layers: readonly LayerEntry[][]): boolean {
  const model = new Model();
  return layers.every((layer) => {
    const fine = accepts(model, layer);
    if (fine) {
      model.apply(layer);
    }
    return fine;
  });
}
