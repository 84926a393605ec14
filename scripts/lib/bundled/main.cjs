#!/usr/bin/env node
// Entry of the built command: loads its files with what V8 has compiled of them when they were built, which is half of the
// time of a command that does little. V8 takes only what the same version of it has made; else it compiles as ever.

'use strict';

const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { Script } = require('node:vm');

/** Of this version of V8 alone: another would have to read it to find that it is of no use. */
const cacheDirectory = `code-cache/${process.versions.v8}-${process.arch}`;

/**
 * A file of the command as a function of what a CommonJS module sees, and of `importOutside`: `import()` does not work in
 * code that comes from a cache.
 *
 * @param {string} directory
 * @param {string} name
 * @param {Buffer} [cachedData]
 */
function compile(directory, name, cachedData) {
  const filename = join(directory, name);
  const source = readFileSync(filename, 'latin1'); // ASCII: see scripts/lib/bundle-command.mjs
  const seen = 'exports, require, module, __filename, __dirname, importOutside';
  return new Script(`(function (${seen}) { ${source}\n})`, { filename, cachedData });
}

/** @type {Map<string, { exports: object }>} */
const modules = new Map();

/** @param {string} name */
function load(name) {
  const known = modules.get(name);
  if (known !== undefined) {
    return known.exports;
  }
  const loading = { exports: {} };
  modules.set(name, loading);
  try {
    const run = compile(__dirname, name, cacheOf(name)).runInThisContext();
    run(loading.exports, requireFrom, loading, join(__dirname, name), __dirname, importOutside);
  } catch (error) {
    modules.delete(name); // as Node does: the next who asks finds out for himself
    throw error;
  }
  return loading.exports;
}

/** @param {string} id */
function requireFrom(id) {
  return id.startsWith('./') ? load(id.slice(2)) : require(id);
}

/** @param {string} id of a package, or a module of Node's own */
function importOutside(id) {
  return import(id);
}

/** @param {string} name */
function cacheOf(name) {
  try {
    return readFileSync(join(__dirname, cacheDirectory, name));
  } catch {
    return undefined; // none for this V8
  }
}

if (require.main === module) {
  load('entry.js');
}

module.exports = { cacheDirectory, compile };
