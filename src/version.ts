// The version of this package. Read at the first question: most runs never ask.

import { readFileSync } from 'node:fs';

let known: string | undefined;

/** The version of this package, from its `package.json`. */
export function packageVersion(): string {
  const packageJson = new URL('../package.json', import.meta.url);
  known ??= (JSON.parse(readFileSync(packageJson, 'utf8')) as { version: string }).version;
  return known;
}
