// A small disk: what a full one does.

import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { withScratch } from './scratch.js';

/** Works in a tmpfs with these mount options, `size=8m`; needs root. */
export async function withTmpfs(
  options: string,
  work: (directory: string) => Promise<void>,
): Promise<void> {
  await withScratch(async (scratch) => {
    const disk = path.join(scratch, 'disk');
    await mkdir(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', disk]);
    try {
      await work(disk);
    } finally {
      execFileSync('umount', [disk]);
    }
  });
}

/** Takes all space that is left on the disk of `directory`, down to a page. */
export function fillDisk(directory: string): void {
  for (const size of [1 << 20, 1 << 12]) {
    for (let n = 0; ; n++) {
      const file = path.join(directory, `filler-${size}-${n}`);
      try {
        writeFileSync(file, Buffer.alloc(size));
      } catch (error) {
        rmSync(file);
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') {
          throw error;
        }
        break;
      }
    }
  }
}

/** Gives back what {@link fillDisk} has taken. */
export function unfillDisk(directory: string): void {
  for (const name of readdirSync(directory).filter((one) => one.startsWith('filler'))) {
    rmSync(path.join(directory, name));
  }
}
