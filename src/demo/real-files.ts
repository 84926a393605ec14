// Real files of this machine as the entries of layers: Node's installation, npm, and a node_modules.

import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type DemoEntry, type DemoLayer, directory } from './entry.js';

/** The three layers of real files, bottom first. */
export async function realLayers(signal: AbortSignal | undefined): Promise<DemoLayer[]> {
  const node = realpathSync(process.execPath);
  const prefix = path.dirname(path.dirname(node));
  const nodeLayer = [
    { ...directory(''), mode: 0o755 },
    ...parents('usr/local/bin'),
    ...(await tree(node, 'usr/local/bin/node', signal)),
    directory('usr/local/include'),
    ...(await tree(path.join(prefix, 'include/node'), 'usr/local/include/node', signal)),
    ...parents('usr/local/share/doc').slice(2),
    ...(await tree(path.join(prefix, 'share/doc/nodejs'), 'usr/local/share/doc/nodejs', signal)),
  ];
  const npmLayer = [
    ...parents('usr/local/lib/node_modules'),
    ...(await tree(npmDirectory(prefix), 'usr/local/lib/node_modules/npm', signal)),
  ];
  const appLayer = [
    ...parents('srv/app'),
    ...(await tree(nodeModulesDirectory(), 'srv/app/node_modules', signal)),
  ];
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
  const own = fileURLToPath(new URL('../..', import.meta.url));
  const candidates = [path.join(own, 'node_modules'), path.dirname(own.replace(/\/$/, ''))];
  return candidates.find((place) => path.basename(place) === 'node_modules' && hasEntries(place));
}

function hasEntries(place: string): boolean {
  return existsSync(place) && readdirSync(place).length > 0;
}

/** The entries of a file or directory with all below it, as `as` in the image; nothing where there is none. */
async function tree(
  from: string | undefined,
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
    } else if (status.isFile()) {
      entries.push({ ...entry, type: 'file', content: { file: source } });
    }
  };
  if (from !== undefined && existsSync(from)) {
    await visit(from, as);
  }
  return entries;
}
