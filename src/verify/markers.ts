// The xattrs by which overlayfs marks files, in the two namespaces that it may have them in.

import type { LayerOptions } from '../native/index.js';

export type LayerFormat = LayerOptions['format'];

const prefixes = { overlay: 'trusted.overlay.', 'overlay-userxattr': 'user.overlay.' } as const;

/** Prefix of the markers that are live in a layer of that format; undefined where none is. */
export function markerPrefix(format: LayerFormat): string | undefined {
  return format === 'overlay' || format === 'overlay-userxattr' ? prefixes[format] : undefined;
}

/** The marker of the other namespace that `xattr` is, `opaque` say; undefined for what is none, or escaped. */
export function foreignMarker(xattr: string, format: LayerFormat): string | undefined {
  const own = markerPrefix(format);
  for (const prefix of Object.values(prefixes)) {
    if (own !== undefined && prefix !== own && xattr.startsWith(prefix)) {
      const name = xattr.slice(prefix.length);
      return name.startsWith('overlay.') ? undefined : name;
    }
  }
  return undefined;
}
