// Where this package is.

import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The directory that has `dist/` or `src/`, in which this code lies: how deep is different in the bundle of the command. */
export const packageRoot: string = above(path.dirname(fileURLToPath(import.meta.url)));

function above(directory: string): string {
  const parent = path.dirname(directory);
  return ['dist', 'src', ''].includes(path.basename(directory)) ? parent : above(parent);
}
