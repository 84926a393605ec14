// Builds archives as `docker save` writes them: the form before Docker 25 (ID/layer.tar and symlinks) and the one
// since (blobs/sha256/HEX).

import { digestOf } from '../../src/oci/index.js';
import { type TarItem, tar } from './tar-builder.js';

export interface DockerImage {
  /** `RepoTags`. */
  tags?: readonly string[];
  /** Blobs, bottom first, as they are to lie in the archive. */
  layers: readonly Buffer[];
  /** DiffIDs, where the blobs are compressed. */
  diffIDs?: readonly string[];
  /** Changes the entry of manifest.json. */
  entry?: (entry: Record<string, unknown>) => unknown;
}

export interface DockerArchiveOptions {
  images: readonly DockerImage[];
  form?: 'legacy' | 'blobs';
  /** Changes all the members before they are written. */
  members?: (items: TarItem[]) => TarItem[];
}

/** The bytes of an archive. */
export function dockerArchive({ images, form = 'legacy', members }: DockerArchiveOptions): Buffer {
  const items: TarItem[] = [];
  const written = new Map<string, string>();
  const manifest = images.map(({ tags, layers, diffIDs, entry }, at) => {
    const config = JSON.stringify({
      os: 'linux',
      architecture: 'amd64',
      rootfs: { type: 'layers', diff_ids: diffIDs ?? layers.map((layer) => digestOf(layer)) },
    });
    const hex = digestOf(config).slice(7);
    const configName = form === 'legacy' ? `${hex}.json` : `blobs/sha256/${hex}`;
    items.push({ type: 'file', path: configName, content: config });
    const names = layers.map((layer, index) => {
      const layerHex = digestOf(layer).slice(7);
      if (form === 'blobs') {
        items.push({ type: 'file', path: `blobs/sha256/${layerHex}`, content: layer });
        return `blobs/sha256/${layerHex}`;
      }
      const name = `image${at}-${index}/layer.tar`;
      const known = written.get(layerHex);
      items.push(
        known === undefined
          ? { type: 'file', path: name, content: layer }
          : { type: 'symlink', path: name, linkpath: `../${known}` },
      );
      written.set(layerHex, known ?? name);
      return name;
    });
    const whole = { Config: configName, RepoTags: tags ?? null, Layers: names };
    return entry?.(whole) ?? whole;
  });
  items.push({ type: 'file', path: 'manifest.json', content: JSON.stringify(manifest) });
  return tar(members?.(items) ?? items);
}
