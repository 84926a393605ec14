// Commands that put overlayfs marks right in a directory: what can be repaired file by file, without the layer's blob.
// The script checks before that nothing has the directory mounted.

import { decodeTold, findFile, parentOf } from './disk-path.js';
import { foreignMarker, type LayerFormat, markerPrefix } from './markers.js';
import type { ShellScript } from './shell-script.js';
import type { Difference, Finding, FindingKind } from './types.js';

const markKinds: ReadonlySet<FindingKind> = new Set([
  'leaked-opaque',
  'lost-opaque',
  'lost-whiteout',
  'stray-whiteout',
  'foreign-marker',
]);

/** Whether the commands of {@link repairMarks} heal all of these. */
export function areMarks(findings: readonly Finding[]): boolean {
  return findings.every(({ kind }) => markKinds.has(kind));
}

/** Shell functions that the commands use. */
export const markFunctions =
  `# set_mark NAME HEXADECIMAL FILE, drop_mark NAME FILE: xattrs, by setfattr or python3.
set_mark() {
  if command -v setfattr >/dev/null; then
    setfattr -h -n "$1" -v "0x$2" -- "$3"
  else
    python3 -c 'import os, sys; os.setxattr(os.fsencode(sys.argv[3]), sys.argv[1], bytes.fromhex(sys.argv[2]), follow_symlinks=False)' "$1" "$2" "$3"
  fi
}
drop_mark() {
  if command -v setfattr >/dev/null; then
    setfattr -h -x "$1" -- "$2"
  else
    python3 -c 'import os, sys; os.removexattr(os.fsencode(sys.argv[2]), sys.argv[1], follow_symlinks=False)' "$1" "$2"
  fi
}
# keeping DIRECTORY COMMAND: the directory has the same times afterwards.
keeping() {
  kept=$1 reference=$(mktemp)
  shift
  touch -r "$kept" -- "$reference"
  "$@"
  touch -r "$reference" -- "$kept"
  rm -f -- "$reference"
}
# mounted NAME...: whether some process has an overlay of a directory mounted, by one of its names.
mounted() {
  layers=$(cat /proc/[0-9]*/mountinfo 2>/dev/null | tr ' ,:=' '\\n\\n\\n\\n' | sort -u)
  for layer do
    if printf '%s\\n' "$layers" | grep -qxF -e "$layer"; then
      return 0
    fi
  done
  return 1
}`.split('\n');

/** A directory whose time is not as it should be, because of names that came or went in it. */
export interface DirectoryTime {
  path: string;
  seconds: number;
  nanoseconds: number;
}

/** Of the differences of one snapshot. */
export function directoryTimes(differences: readonly Difference[]): DirectoryTime[] {
  return differences.flatMap(({ path, expected, fields }) =>
    expected?.type === 'directory' && fields.includes('mtime')
      ? [{ path, seconds: expected.mtimeSeconds, nanoseconds: expected.mtimeNanoseconds }]
      : [],
  );
}

/** Adds the commands for findings of one snapshot. */
export async function repairMarks(
  script: ShellScript,
  findings: readonly Finding[],
  directory: string,
  format: LayerFormat,
  times: readonly DirectoryTime[] = [],
): Promise<void> {
  const prefix = markerPrefix(format) ?? 'trusted.overlay.';
  for (const finding of findings) {
    const { kind, path, expected, found } = finding;
    const file = await fileOf(directory, path);
    const parent = await fileOf(directory, parentOf(path) ?? '');
    script.comment(`${kind} ${JSON.stringify(path)}: ${finding.detail}`);
    const whiteout = () => {
      if (found !== null) {
        script.run('keeping', parent, 'rm', '-rf', '--', file);
      }
      script.run('keeping', parent, 'mknod', '--', file, 'c', '0', '0');
    };
    switch (kind) {
      case 'leaked-opaque':
        script.run('drop_mark', `${prefix}opaque`, file);
        break;
      case 'lost-opaque':
        script.run('set_mark', `${prefix}opaque`, '79', file);
        break;
      case 'lost-whiteout':
        whiteout();
        break;
      case 'stray-whiteout':
        script.run('keeping', parent, 'rm', '-f', '--', file);
        break;
      default: {
        if (expected?.type === 'whiteout') {
          whiteout();
          break;
        }
        for (const name of Object.keys(found?.xattrs ?? {})) {
          if (foreignMarker(name, format) !== undefined) {
            script.run('drop_mark', name, file);
          }
        }
        if (expected?.opaque && !found?.opaque) {
          script.run('set_mark', `${prefix}opaque`, '79', file);
        }
      }
    }
  }
  const changed = new Set(findings.map(({ path }) => parentOf(path)));
  for (const { path, seconds, nanoseconds } of times.filter((one) => changed.has(one.path))) {
    const time = `@${seconds}.${String(nanoseconds).padStart(9, '0')}`;
    script.run('touch', '-h', '-d', time, '--', await fileOf(directory, path));
  }
}

/** The path on the disk of what a finding names, though it may be missing. */
async function fileOf(directory: string, told: string): Promise<string | Buffer> {
  const file = told === '' ? { path: directory } : await findFile(directory, told);
  if (file !== undefined) {
    return file.path;
  }
  const parent = await findFile(directory, parentOf(told) ?? '');
  const name = decodeTold(told.slice(told.lastIndexOf('/') + 1));
  const above = parent?.path ?? `${directory}/${parentOf(told) ?? ''}`;
  return Buffer.concat([Buffer.from(above as string), Buffer.from('/'), name]);
}
