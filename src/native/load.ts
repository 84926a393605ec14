// Finds and loads the addon: one that was built here, else the prebuilt one of the package.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { packageRoot } from '../package-root.js';
import type { Binding } from './binding.js';

/** Where the addon may lie, the first choice first. */
export function addonCandidates(root: string = packageRoot): string[] {
  return [
    path.join(root, 'build', 'Release', 'oci_unpack.node'),
    path.join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'oci_unpack.node'),
  ];
}

let loaded: Binding | undefined;

/**
 * The addon of this package, loaded at the first call.
 *
 * @throws UnpackError `ERR_ADDON_LOAD`, which says what was tried and what to type.
 */
export function loadBinding(): Binding {
  loaded ??= loadFrom(addonCandidates());
  return loaded;
}

/** Loads the first candidate that is there; the ones that fail are told in the error. */
export function loadFrom(candidates: readonly string[]): Binding {
  const tried: string[] = [];
  for (const file of candidates) {
    if (!existsSync(file)) {
      tried.push(`  ${file}: not there`);
      continue;
    }
    try {
      const addon = { exports: {} };
      process.dlopen(addon, file); // what require() does in the end: it takes a millisecond longer
      return addon.exports as Binding;
    } catch (error) {
      tried.push(`  ${file}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new UnpackError(
    'ERR_ADDON_LOAD',
    [
      `the native addon could not be loaded on ${process.platform}-${process.arch}, Node ${process.version}; tried`,
      ...tried,
      advice(),
    ].join('\n'),
  );
}

function advice(): string {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    return 'oci-unpack runs on Linux x64 and arm64 only.';
  }
  return `To build it here: cd ${packageRoot} && npm run setup`;
}
