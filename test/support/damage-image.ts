// An image in which every kind of damage can be done: opaque directories and whiteouts that hide something, devices,
// capabilities, xattrs, hardlinks and odd names, in each of its three layers.

import {
  device,
  dir,
  fifo,
  file,
  hardlink,
  opaque,
  symlink,
  type TarEntry,
  whiteout,
} from './tar-builder.js';

/** cap_net_raw=ep, as the kernel stores it (revision 2). */
const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');

/** The entries of a directory that has one of each. */
function one(name: string, seed: number): TarEntry[] {
  const mtime = BigInt(1_500_000_000 + seed) * 1_000_000_000n + BigInt(seed);
  const owner = { uid: seed % 7, gid: seed % 5, mtime };
  return [
    dir(name, { ...owner, mode: 0o755 }),
    file(`${name}/text`, `text of ${name}\n`.repeat(1 + (seed % 40)), owner),
    file(`${name}/empty`, '', owner),
    file(`${name}/tool`, `tool ${seed}`, {
      ...owner,
      mode: 0o4755,
      xattrs: { 'security.capability': capability },
    }),
    file(`${name}/note`, 'noted', { ...owner, xattrs: { 'user.note': `n${seed}`, 'user.z': 'z' } }),
    file(`${name}/big`, Buffer.alloc(100_000 + seed, `${seed} `), owner),
    symlink(`${name}/link`, '../elsewhere', owner),
    file(`${name}/first`, `several names ${seed}`, owner),
    hardlink(`${name}/second`, `${name}/first`, owner),
    hardlink(`${name}/third`, `${name}/first`, owner),
    device(`${name}/tty`, 'char', 5, seed, { ...owner, mode: 0o620 }),
    device(`${name}/disk`, 'block', 8, seed, { ...owner, mode: 0o660 }),
    fifo(`${name}/pipe`, owner),
    dir(`${name}/sub`, owner),
    file(`${name}/sub/it's "odd"\n-rf`, 'odd', owner),
    file(`${name}/sub/-rf`, 'a dash', owner),
  ];
}

const numbers = [...Array(8).keys()];

/** The layers, lowest first. What is implied is named too, so that every attribute is prescribed. */
export const damageLayers: TarEntry[][] = [
  [dir('./'), ...numbers.flatMap((i) => one(`d${i}`, i))],
  [
    dir('./'),
    ...numbers.flatMap((i) => one(`e${i}`, 10 + i)),
    // Whiteouts of files and of whole directories, and directories that are opaque over what lies below.
    ...[0, 1, 2].flatMap((i) => [
      dir(`d${i}`, { mode: 0o750 }),
      whiteout(`d${i}/text`),
      whiteout(`d${i}/sub`),
      file(`d${i}/new`, `new ${i}`),
    ]),
    ...[3, 4].flatMap((i) => [dir(`d${i}`), opaque(`d${i}`), ...one(`d${i}/inner`, 20 + i)]),
    whiteout('d5'),
  ],
  [
    dir('./'),
    ...numbers.slice(0, 4).flatMap((i) => one(`f${i}`, 30 + i)),
    ...[0, 1].flatMap((i) => [dir(`e${i}`), opaque(`e${i}`), file(`e${i}/only`, 'only')]),
    dir('e2'),
    whiteout('e2/tool'),
    whiteout('e3'),
    whiteout('d6'),
  ],
];
