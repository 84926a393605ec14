// Where this package is.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The nearest directory above this code with a `package.json`: the command is bundled, and lies deeper than its modules. */
export const packageRoot: string = find(path.dirname(fileURLToPath(import.meta.url)));

function find(directory: string): string {
  const parent = path.dirname(directory);
  return parent === directory || existsSync(path.join(directory, 'package.json'))
    ? directory
    : find(parent);
}
