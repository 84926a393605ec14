// Whose rights the tests have.

import { readFileSync } from 'node:fs';

/** Uid 0, in a user namespace maybe: mounts can be made. */
export const isRoot: boolean = process.getuid?.() === 0;

const ids = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/);

/** Other owners than our own can be set: not in a user namespace with one id. */
export const manyIDs: boolean = isRoot && Number(ids[2]) > 1;
