// The version of this package. Read at the first question: most runs never ask.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { packageRoot } from './package-root.js';

let known: string | undefined;

/** The version of this package, from its `package.json`. */
export function packageVersion(): string {
  const packageJson = path.join(packageRoot, 'package.json');
  known ??= (JSON.parse(readFileSync(packageJson, 'utf8')) as { version: string }).version;
  return known;
}
