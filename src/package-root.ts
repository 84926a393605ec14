// Where this package is.

import path from 'node:path';

/** The directory that has `dist/` or `src/`, in which this code lies: how deep is different in the bundle of the command. */
export const packageRoot: string = above(import.meta.dirname);

function above(directory: string): string {
  const parent = path.dirname(directory);
  return ['dist', 'src', ''].includes(path.basename(directory)) ? parent : above(parent);
}
