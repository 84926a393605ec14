// The bench's native program: it measures the floor, and runs commands while measuring what they use.

import { accessSync, chmodSync, constants, copyFileSync, existsSync } from 'node:fs';
import path from 'node:path';
import { packageRoot } from '../package-root.js';

const name = 'bench_floor';
let found: string | undefined;

/**
 * Where the program is: prebuilt in the package, or built here; undefined where it is not.
 *
 * @param scratch where a copy goes when an installed one has lost its permission to run.
 */
export function nativeTool(scratch?: string): string | undefined {
  if (found !== undefined) {
    return existsSync(found) ? found : undefined;
  }
  const candidates = [
    path.join(packageRoot, 'prebuilds', `${process.platform}-${process.arch}`, name),
    path.join(packageRoot, 'build', 'Release', name),
  ];
  const there = candidates.find((candidate) => existsSync(candidate));
  if (there === undefined || isExecutable(there)) {
    found = there;
    return there;
  }
  if (scratch === undefined) {
    return undefined;
  }
  const copy = path.join(scratch, name);
  copyFileSync(there, copy);
  chmodSync(copy, 0o755);
  return copy;
}

/** What to say where it is not there. */
export const toolAbsence = {
  status: 'missing' as const,
  reason: 'the native part of the bench is not built',
  install: `cd ${packageRoot} && npm run setup`,
};

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
