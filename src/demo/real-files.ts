// Real files of this machine as the entries of layers: Node's installation, npm, and a node_modules.

import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import path from 'node:path';
import { packageRoot } from '../package-root.js';
import { type DemoEntry, type DemoLayer, directory } from './entry.js';

/**
 * Files above this are left out: a few native binaries (Node's own, those of tools) would be half of all bytes. So
 * the image has about as many bytes per file as a Debian image with Node.
 */
const maxFile = 16 * 2 ** 20;
/** Packages of node_modules in the small image. */
const smallPackages = 12;

export interface RealFilesOptions {
  /** Without Node's binary and headers, and with few packages: for a quick test. */
  small?: boolean;
  signal?: AbortSignal;
}

/** The three layers of real files, bottom first. */
export async function realLayers({
  small = false,
  signal,
}: RealFilesOptions): Promise<DemoLayer[]> {
  const node = realpathSync(process.execPath);
  const prefix = path.dirname(path.dirname(node));
  const modules = nodeModulesDirectory();
  const add = (from: string | undefined, as: string) =>
    from === undefined ? [] : readTree(from, as, signal);
  const nodeLayer = [
    directory(''),
    ...parents('usr/local/bin'),
    directory('usr/local/include'),
    directory('usr/local/share'),
    ...(small ? [] : await add(node, 'usr/local/bin/node')),
    ...(small ? [] : await add(path.join(prefix, 'include/node'), 'usr/local/include/node')),
    ...(await add(path.join(prefix, 'share/doc/nodejs'), 'usr/local/share/nodejs')),
  ];
  const npmLayer = [
    ...parents('usr/local/lib/node_modules'),
    ...(await add(npmDirectory(prefix), 'usr/local/lib/node_modules/npm')),
  ];
  const appLayer = parents('srv/app');
  if (small && modules !== undefined) {
    appLayer.push(directory('srv/app/node_modules'));
    const names = readdirSync(modules).filter((name) => /^[^.@]/.test(name));
    for (const name of names.sort().slice(0, smallPackages)) {
      const as = `srv/app/node_modules/${name}`;
      appLayer.push(...(await add(path.join(modules, name), as)));
    }
  } else {
    appLayer.push(...(await add(modules, 'srv/app/node_modules')));
  }
  return [
    { title: "Node's installation", entries: nodeLayer },
    { title: 'npm', entries: npmLayer },
    { title: "this project's node_modules", entries: appLayer },
  ];
}

/** Directories from the first component of `target` down to it. */
function parents(target: string): DemoEntry[] {
  const parts = target.split('/');
  return parts.map((_, index) => directory(parts.slice(0, index + 1).join('/')));
}

/** npm's own package: the one that runs us, or the one beside Node. */
function npmDirectory(prefix: string): string | undefined {
  const candidates = [
    process.env.npm_execpath?.replace(/\/bin\/npm-cli\.js$/, ''),
    path.join(prefix, 'lib/node_modules/npm'),
    '/usr/share/nodejs/npm',
  ];
  return candidates.find((place) => place && existsSync(path.join(place, 'package.json')));
}

/** The node_modules that this package is developed with, or is installed into. */
function nodeModulesDirectory(): string | undefined {
  const candidates = [path.join(packageRoot, 'node_modules'), path.dirname(packageRoot)];
  return candidates.find((place) => path.basename(place) === 'node_modules' && hasEntries(place));
}

function hasEntries(place: string): boolean {
  return existsSync(place) && readdirSync(place).length > 0;
}

/** The entries of a file or directory with all below it, as `as` in the image; nothing where there is none. */
async function readTree(
  from: string,
  as: string,
  signal: AbortSignal | undefined,
): Promise<DemoEntry[]> {
  const entries: DemoEntry[] = [];
  const visit = async (source: string, name: string): Promise<void> => {
    signal?.throwIfAborted();
    const status = await lstat(source, { bigint: true });
    const entry = {
      path: name,
      mode: Number(status.mode & 0o7777n),
      uid: Number(status.uid),
      gid: Number(status.gid),
      mtime: status.mtimeNs,
    };
    if (status.isDirectory()) {
      entries.push({ ...entry, type: 'directory' });
      for (const child of (await readdir(source)).sort()) {
        await visit(path.join(source, child), `${name}/${child}`);
      }
    } else if (status.isSymbolicLink()) {
      const target = await readlink(source);
      entries.push({ ...entry, mode: 0o777, type: 'symlink', target });
    } else if (status.isFile() && Number(status.size) <= maxFile) {
      entries.push({ ...entry, type: 'file', content: { file: source } });
    }
  };
  if (existsSync(from)) {
    await visit(from, as);
  }
  return entries;
}
