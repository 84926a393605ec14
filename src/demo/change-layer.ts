// The top layer: every kind of change that a layer can make to the ones below it.

import { type DemoEntry, type DemoLayer, directory, file, inventedTime } from './entry.js';

/**
 * `security.capability` as the kernel stores it (linux/capability.h, struct vfs_cap_data, revision 2): magic with the
 * effective bit, then permitted and inheritable, low words first. cap_net_raw (13) here, as ping has it.
 */
function netRawCapability(): Buffer {
  const value = Buffer.alloc(20);
  value.writeUInt32LE(0x0200_0001, 0);
  value.writeUInt32LE(1 << 13, 4);
  return value;
}

/**
 * A layer of changes to `lower`: what there is to change is looked up there. `forPeers`: only what others unpack too, each
 * layer into a directory of its own, where a hardlink does not find what it links to in a lower one.
 */
export function changeLayer(lower: readonly DemoLayer[], forPeers: boolean): DemoLayer {
  const below = lower.flatMap((layer) => layer.entries);
  const entries: DemoEntry[] = [...removals(below), ...replacements(below), ...newFiles()];
  if (!forPeers) {
    entries.push(...linkToLower(below));
  }
  return { title: 'changes', entries };
}

/** The packages of the image's node_modules, as paths, and what is below each. */
function packagesOf(below: readonly DemoEntry[]): string[] {
  const names = below
    .filter((entry) => entry.type === 'directory')
    .map((entry) => entry.path)
    .filter((path) => /^srv\/app\/node_modules\/[^.@/][^/]*$/.test(path));
  return [...new Set(names)].sort();
}

/** Removed: a file, a whole package, and the name of something that never was. */
function removals(below: readonly DemoEntry[]): DemoEntry[] {
  const header = below.find((entry) => entry.path.endsWith('/node_version.h'));
  const [removed] = packagesOf(below);
  const paths = [header?.path, removed, 'srv/app/never-there'];
  return paths.flatMap((path) => (path === undefined ? [] : [whiteout(path)]));
}

/** Replaced: a directory's whole content (by an opaque marker, and by whiteout and re-creation), a file, types. */
function replacements(below: readonly DemoEntry[]): DemoEntry[] {
  const [, opaque, recreated, linked] = packagesOf(below);
  const entries: DemoEntry[] = [];
  if (opaque !== undefined) {
    // The marker comes last: order must not matter.
    entries.push(directory(opaque), file(`${opaque}/index.js`, 'module.exports = 1;\n'));
    entries.push({ ...directory(opaque), type: 'opaque' });
  }
  if (recreated !== undefined) {
    entries.push(whiteout(recreated), directory(recreated, 0o750));
    entries.push(file(`${recreated}/index.js`, 'module.exports = 2;\n'));
  }
  if (linked !== undefined) {
    entries.push(symlink(linked, '../vendored')); // a directory becomes a symlink
  }
  const license = below.find((entry) => entry.path.endsWith('/npm/README.md'));
  if (license !== undefined) {
    entries.push(file(license.path, 'Replaced by the top layer.\n'));
  }
  return entries;
}

/** New: hardlinks, special mode bits, a capability, long and foreign names, an empty file. */
function newFiles(): DemoEntry[] {
  const long = `srv/new/${'long-directory-name/'.repeat(7)}`.replace(/\/$/, '');
  const entries = [
    directory('srv/new'),
    file('srv/new/first', 'one inode, three names\n'),
    hardlink('srv/new/second', 'srv/new/first'),
    directory('srv/new/elsewhere', 0o700),
    hardlink('srv/new/elsewhere/third', 'srv/new/first'),
    file('srv/new/setuid', '#!/bin/false\n', 0o4755),
    file('srv/new/setgid', '#!/bin/false\n', 0o2755),
    directory('srv/new/sticky', 0o1777),
    file('srv/new/empty', '', 0o400),
    file('srv/new/\u00e9t\u00e9 \u{1f433}', 'a name beyond ASCII\n'),
    symlink('srv/new/dangling', '../nowhere'),
    { ...file('srv/new/owned', 'by 1000:1000\n'), uid: 1000, gid: 1000 },
    {
      ...file('srv/new/capable', '#!/bin/false\n', 0o755),
      xattrs: { 'security.capability': netRawCapability() },
    },
  ];
  const parts = long.split('/').slice(2);
  parts.forEach((_, index) => {
    entries.push(directory(`srv/new/${parts.slice(0, index + 1).join('/')}`));
  });
  entries.push(file(`${long}/file`, 'a path past the 100 bytes of a tar header\n'));
  // No entry for usr/local/share: it keeps the metadata that the lower layer gave it.
  entries.push(file('usr/local/share/implicit-parent', 'new\n'));
  return entries;
}

/** A hardlink to a file that only a lower layer has. */
function linkToLower(below: readonly DemoEntry[]): DemoEntry[] {
  const license = below.find(
    (entry) => entry.type === 'file' && entry.path.endsWith('/node_modules/npm/LICENSE'),
  );
  return license === undefined ? [] : [hardlink('srv/npm-license', license.path)];
}

function whiteout(path: string): DemoEntry {
  return { ...directory(path), type: 'whiteout' };
}

function hardlink(path: string, target: string): DemoEntry {
  return { ...directory(path, 0o644), type: 'hardlink', target };
}

function symlink(path: string, target: string): DemoEntry {
  return { path, type: 'symlink', mode: 0o777, uid: 0, gid: 0, mtime: inventedTime, target };
}
