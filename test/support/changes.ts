// Changes to a directory as a container would make them, to be made to a mounted snapshot and to a plain directory alike.

import { execFile } from 'node:child_process';
import {
  chmod,
  lchown,
  link,
  symlink as makeSymlink,
  mkdir,
  rename as move,
  rm,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export type Change = (root: string) => Promise<unknown>;

export async function apply(root: string, changes: readonly Change[]): Promise<void> {
  for (const change of changes) {
    await change(root);
  }
}

/** Writes a file, in place where there is one. */
export function file(name: string, content: string, mode = 0o644): Change {
  return async (root) => {
    const at = path.join(root, name);
    await writeFile(at, content);
    await chmod(at, mode);
  };
}

export function dir(name: string, mode = 0o755): Change {
  return async (root) => {
    const at = path.join(root, name);
    await mkdir(at);
    await chmod(at, mode);
  };
}

export function remove(name: string): Change {
  return (root) => rm(path.join(root, name), { recursive: true });
}

export function rename(from: string, to: string): Change {
  return (root) => move(path.join(root, from), path.join(root, to));
}

export function hardlink(from: string, to: string): Change {
  return (root) => link(path.join(root, from), path.join(root, to));
}

export function symlink(name: string, target: string): Change {
  return (root) => makeSymlink(target, path.join(root, name));
}

export function owner(name: string, uid: number, gid: number): Change {
  return (root) => lchown(path.join(root, name), uid, gid);
}

export function mode(name: string, bits: number): Change {
  return (root) => chmod(path.join(root, name), bits);
}

/** setcap(8): `cap_net_raw+ep`. */
export function capability(name: string, text: string): Change {
  return (root) => run('setcap', [text, path.join(root, name)]);
}

export function fifo(name: string): Change {
  return (root) => run('mkfifo', [path.join(root, name)]);
}
