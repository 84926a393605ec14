// Where the demo and the bench work, and whether that place can be timed honestly.

import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, realpath, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The file system of a directory. */
export interface FileSystemInfo {
  /** `ext4`, `tmpfs`, ... */
  type: string;
  /** Mount options, those of the file system included. */
  options: string[];
  /** Why times measured here say little; undefined where nothing is known against it. */
  warning?: string;
}

/** Room that the demo wants: its image twice unpacked, and some. */
const wantedBytes = 2 * 2 ** 30;

/**
 * Makes an empty scratch directory: in `given`, else in $TMPDIR, else in /dev/shm where that is a tmpfs with room,
 * else where temporary files go.
 */
export async function makeScratchDirectory(given?: string): Promise<string> {
  let parent = given ?? process.env.TMPDIR;
  if (parent === undefined) {
    parent = (await hasRoom('/dev/shm')) ? '/dev/shm' : tmpdir();
  }
  if (given !== undefined) {
    await mkdir(given, { recursive: true });
  }
  return mkdtemp(path.join(await realpath(parent), 'oci-unpack-'));
}

/** Whether `directory` is a tmpfs with room, in its own bounds and in memory. */
async function hasRoom(directory: string): Promise<boolean> {
  if (!existsSync(directory) || describeFileSystem(directory).type !== 'tmpfs') {
    return false;
  }
  const { bavail, bsize } = await statfs(directory);
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  const memory = Number(available?.[1] ?? 0) * 1024;
  return bavail * bsize >= wantedBytes && memory >= 2 * wantedBytes;
}

/** Looks up the file system that `directory` is on. */
export function describeFileSystem(directory: string): FileSystemInfo {
  const mount = findMount(realpathSync(directory));
  const type = mount?.type ?? 'unknown';
  const options = mount?.options ?? [];
  const warning = warningFor(type, directory);
  return { type, options, ...(warning !== undefined && { warning }) };
}

function warningFor(type: string, directory: string): string | undefined {
  if (type === 'ext4' && !hasJournal(directory)) {
    return (
      'ext4 without a journal: after a large delete the kernel makes every create five to ten times ' +
      'slower for minutes, so times here say little; use --dir with a tmpfs or another file system'
    );
  }
  if (/^(nfs|cifs|smb|9p|virtiofs|fuse|ceph|afs)/.test(type)) {
    return `${type}: a network or host file system; it is what is timed here, not the unpacking`;
  }
  return type === 'overlay'
    ? 'overlay: its copy in the upper layer is timed too; use --dir with a plain file system'
    : undefined;
}

/** proc(5), mountinfo: `ID PARENT MAJOR:MINOR ROOT TARGET OPTIONS FIELDS... - TYPE SOURCE SUPEROPTIONS`. */
function findMount(directory: string): { type: string; options: string[] } | undefined {
  let best: { type: string; options: string[] } | undefined;
  let longest = -1;
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const escaped = left.split(' ')[4];
    if (escaped === undefined) {
      continue;
    }
    const target = escaped.replace(/\\(\d{3})/g, (_, octal) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const inside = directory === target || directory.startsWith(target.replace(/\/?$/, '/'));
    // Of mounts on the same target the last one is visible.
    if (inside && target.length >= longest) {
      const [type = 'unknown', , superOptions = ''] = right.split(' ');
      const options = `${left.split(' ')[5] ?? ''},${superOptions}`.split(',').filter(Boolean);
      best = { type, options: [...new Set(options)] };
      longest = target.length;
    }
  }
  return best;
}

/** Whether an ext4 has a journal, as far as /proc tells; yes in doubt. */
function hasJournal(directory: string): boolean {
  try {
    const { dev } = statSync(directory);
    // makedev(3) of glibc: minor in bits 0-7 and 20-31, major in bits 8-19.
    const major = (dev >>> 8) & 0xfff;
    const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
    const device = path.basename(realpathSync(`/sys/dev/block/${major}:${minor}`));
    // The journal's thread has an entry named DEVICE-INODE there.
    return (
      !existsSync(`/proc/fs/ext4/${device}`) ||
      readdirSync('/proc/fs/jbd2').some((name) => name.startsWith(`${device}-`))
    );
  } catch {
    return true;
  }
}
