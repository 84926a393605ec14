// Paths in mount options. overlayfs splits lowerdir at colons and the kernel splits options at commas; a backslash
// before either, or before itself, keeps it (fs/overlayfs/params.c).

/** `directory` as it must stand in an option. */
export function escapeOption(directory: string): string {
  return directory.replace(/[\\:,]/g, '\\$&');
}

/** The paths of an option's value, separated by colons. */
export function splitPaths(value: string): string[] {
  const paths = [''];
  for (let at = 0; at < value.length; at++) {
    const sign = value[at] as string;
    if (sign === ':') {
      paths.push('');
    } else {
      paths[paths.length - 1] += sign === '\\' ? (value[++at] ?? '\\') : sign;
    }
  }
  return paths;
}

/** One path: as {@link splitPaths}, colons being part of it. */
export function unescapeOption(value: string): string {
  return value.replace(/\\(.)/gs, '$1');
}
