// Brings node_modules to what package-lock.json says.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, runQuietly } from './process.mjs';

/** @typedef {{ version?: string, optional?: boolean }} LockedPackage */

/**
 * @param {string} path
 * @returns {Record<string, LockedPackage>}
 */
function lockedPackages(path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8')).packages;
}

/** Whether node_modules is what package-lock.json says; optional packages may be absent. */
function isInstalled() {
  // npm writes what it has installed into this file, in the form of package-lock.json.
  const hidden = 'node_modules/.package-lock.json';
  if (!existsSync(join(root, hidden))) {
    return false;
  }
  const installed = lockedPackages(hidden);
  const wanted = lockedPackages('package-lock.json');
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    const present = installed[path];
    return path === '' || (present ? present.version === version : optional === true);
  });
}

/**
 * Runs `npm ci` when something is missing or another version.
 * @returns {Promise<boolean>} whether it had to
 */
export async function installNodeModules() {
  if (!existsSync(join(root, 'package-lock.json')) || isInstalled()) {
    return false; // without a lock this is the packed package, whose dependencies its user's npm installs
  }
  await runQuietly('npm ci', ...npm('ci', '--no-audit', '--no-fund', '--loglevel=error'));
  return true;
}

/**
 * A command line for npm: the one that runs this script, or the one on PATH.
 * @param {...string} args
 * @returns {[string, string[]]}
 */
export function npm(...args) {
  const running = process.env.npm_execpath;
  return running?.endsWith('npm-cli.js') ? [process.execPath, [running, ...args]] : ['npm', args];
}
