#!/usr/bin/env node
// node docs/examples/layers-others-get-wrong.mjs [ROW...]: makes a tiny image for each row of README's table, unpacks it with
// oci-unpack and with what else is installed of containerd (its overlayfs snapshotter) and umoci, and shows what each
// gives: the tree as the kernel mounts it. As root; needs a set-up clone (npm run setup).

import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const command = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** @typedef {{ path: string, type: string, link: string, mode: number, body: string, pax?: string }} Entry */
/** @typedef {{ title: string, layers: Entry[][], expect: string }} Row */

const file = (path, body = '', mode = 0o644) => ({ path, type: '0', link: '', mode, body });
const dir = (path, mode = 0o755) => ({ path, type: '5', link: '', mode, body: '' });
const symlink = (path, link) => ({ path, type: '2', link, mode: 0o777, body: '' });
const hardlink = (path, link) => ({ path, type: '1', link, mode: 0o644, body: '' });

/** @type {Record<string, Row>} */
const rows = {
  1: {
    title: 'a whiteout, then the same directory anew',
    layers: [
      [dir('foo/'), file('foo/old')],
      [file('.wh.foo'), dir('foo/'), file('foo/new')],
    ],
    expect: 'foo/ foo/new',
  },
  2: {
    title: 'a directory, then its whiteout',
    layers: [
      [dir('foo/'), file('foo/old')],
      [dir('foo/'), file('foo/new'), file('.wh.foo')],
    ],
    expect: 'foo/ foo/new',
  },
  3: {
    title: 'a whiteout inside an opaque directory',
    layers: [
      [dir('d/'), file('d/a')],
      [dir('d/'), file('d/.wh..wh..opq'), file('d/.wh.a')],
    ],
    expect: 'd/',
  },
  4: {
    title: 'a whiteout below another whiteout',
    layers: [
      [dir('a/'), file('a/b')],
      [file('.wh.a'), file('a/.wh.b')],
    ],
    expect: '(empty)',
  },
  5: {
    title: 'a parent that is a symlink in a lower layer',
    layers: [
      [dir('usr/'), dir('usr/lib/'), file('usr/lib/libc'), symlink('lib', 'usr/lib')],
      [file('lib/new')],
    ],
    expect: 'lib -> usr/lib, usr/lib/libc usr/lib/new',
  },
  6: {
    title: 'a hardlink into a lower layer',
    layers: [[file('target', 'content')], [hardlink('link', 'target')]],
    expect: 'link and target, of one inode',
  },
  7: {
    title: 'a parent that the layer does not name, and that an opaque marker has hidden',
    layers: [
      [dir('a/'), dir('a/d/', 0o700)],
      [dir('a/'), file('a/.wh..wh..opq')],
      [file('a/d/new')],
    ],
    expect: 'a/ a/d/ a/d/new, and a/d/ is not 700: that directory is gone',
  },
  8: {
    title: 'the root entry ./',
    layers: [[dir('./', 0o711), file('a')]],
    expect: 'the root is 711',
  },
  9: {
    title: 'an opaque marker for the root',
    layers: [
      [file('old'), dir('d/'), file('d/old')],
      [file('.wh..wh..opq'), dir('d/'), file('d/new')],
    ],
    expect: 'd/ d/new',
  },
  10: {
    title: 'a file, then a directory of the same name',
    layers: [
      [dir('x/'), file('x/old')],
      [file('x'), dir('x/'), file('x/new')],
    ],
    expect: 'x/ x/new',
  },
  11: {
    title: 'a whiteout of what no lower layer has',
    layers: [[file('a')], [dir('mine/'), file('mine/.wh.none')]],
    expect: 'a mine/ (and nothing dead in mine/)',
  },
};

/** @param {number} value @param {number} width */
const octal = (value, width) => `${value.toString(8).padStart(width - 1, '0')}\0`;

/** @param {Entry} entry */
function header({ path, type, link, mode, body }) {
  const block = Buffer.alloc(512);
  block.write(path, 0);
  block.write(
    octal(mode, 8) + octal(0, 8) + octal(0, 8) + octal(body.length, 12) + octal(1_700_000_000, 12),
    100,
  );
  block.write(`        ${type}${link}`, 148);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** @param {Entry[]} entries */
function tar(entries) {
  const blocks = entries.flatMap((entry) => [
    header(entry),
    Buffer.from(entry.body.padEnd(Math.ceil(entry.body.length / 512) * 512, '\0')),
  ]);
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** @param {string} layout @param {Entry[][]} layers */
function writeLayout(layout, layers) {
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  /** @param {Buffer} data @param {string} mediaType */
  const blob = (data, mediaType) => {
    const hex = createHash('sha256').update(data).digest('hex');
    writeFileSync(join(layout, 'blobs/sha256', hex), data);
    return { mediaType, digest: `sha256:${hex}`, size: data.length };
  };
  /** @param {unknown} value @param {string} name */
  const json = (value, name) =>
    blob(Buffer.from(JSON.stringify(value)), `application/vnd.oci.image.${name}.v1+json`);
  const tars = layers.map((entries) =>
    blob(tar(entries), 'application/vnd.oci.image.layer.v1.tar'),
  );
  const config = json(
    {
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: tars.map(({ digest }) => digest) },
    },
    'config',
  );
  const manifest = json(
    {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config,
      layers: tars,
    },
    'manifest',
  );
  const name = {
    'org.opencontainers.image.ref.name': 'latest',
    'io.containerd.image.name': 'example.test/row:latest',
  };
  const index = {
    schemaVersion: 2,
    manifests: [
      { ...manifest, platform: { os: 'linux', architecture: 'amd64' }, annotations: name },
    ],
  };
  writeFileSync(join(layout, 'index.json'), JSON.stringify(index));
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}

/** What a user of the directory sees, in one line. @param {string} root */
function show(root) {
  const inodes = new Map();
  const parts = [`(root ${(statSync(root).mode & 0o7777).toString(8)})`];
  /** @param {string} path */
  const visit = (path) => {
    for (const name of readdirSync(join(root, path)).sort()) {
      const at = join(path, name);
      try {
        const status = lstatSync(join(root, at));
        const same = status.isFile() ? inodes.get(status.ino) : undefined;
        inodes.set(status.ino, at);
        const mode = (status.mode & 0o7777).toString(8);
        if (status.isDirectory()) {
          parts.push(`${at}/${mode === '755' ? '' : ` ${mode}`}`);
          visit(at);
        } else if (status.isSymbolicLink()) {
          parts.push(`${at} -> ${readlinkSync(join(root, at))}`);
        } else {
          parts.push(same === undefined ? at : `${at} = ${same}`);
        }
      } catch (error) {
        parts.push(
          `${at} (listed, but stat: ${/** @type {NodeJS.ErrnoException} */ (error).code})`,
        );
      }
    }
  };
  visit('');
  return parts.join(', ');
}

/** @param {string} program @param {string[]} args */
const run = (program, args) =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** @param {() => string} work */
function attempt(work) {
  try {
    return work();
  } catch (error) {
    const text = String(/** @type {{ stderr?: string }} */ (error).stderr || error).trim();
    return `REFUSED: ${text.split('\n').at(-1)?.slice(0, 160)}`;
  }
}

/** @param {string} scratch @param {string} layout */
function ours(scratch, layout) {
  const [image, target] = [join(scratch, 'ours'), join(scratch, 'ours-mounted')];
  mkdirSync(target);
  run(process.execPath, [
    command,
    'unpack',
    `oci:${layout}:latest`,
    image,
    '--platform',
    'linux/amd64',
    '--quiet',
  ]);
  run(process.execPath, [command, 'mount', image, target]);
  try {
    return show(target);
  } finally {
    run(process.execPath, [command, 'umount', target]);
  }
}

/** @param {string} scratch @param {string} layout */
function umoci(scratch, layout) {
  run('umoci', ['raw', 'unpack', '--image', `${layout}:latest`, join(scratch, 'umoci')]);
  return show(join(scratch, 'umoci'));
}

/** containerd of this machine, started with directories of its own. @param {string} base */
async function startContainerd(base) {
  mkdirSync(base);
  const socket = join(base, 'sock');
  const config = join(base, 'config.toml');
  writeFileSync(config, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
  const daemon = spawn(
    'containerd',
    [
      '--config',
      config,
      '--root',
      join(base, 'root'),
      '--state',
      join(base, 'state'),
      '--address',
      socket,
    ],
    { stdio: 'ignore' },
  );
  for (let i = 0; i < 100 && !existsSync(socket); i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  /** @param {string[]} args */
  const ctr = (...args) => run('ctr', ['--address', socket, ...args]);
  return {
    stop: () => daemon.kill(),
    /** @param {string} scratch @param {string} layout @param {string} row */
    unpack(scratch, layout, row) {
      const archive = join(scratch, 'image.tar');
      run('tar', ['-C', layout, '-cf', archive, '.']);
      const space = `row${row}`;
      ctr(
        '-n',
        space,
        'images',
        'import',
        '--snapshotter',
        'overlayfs',
        '--platform',
        'linux/amd64',
        archive,
      );
      const target = join(scratch, 'containerd-mounted');
      mkdirSync(target);
      ctr(
        '-n',
        space,
        'images',
        'mount',
        '--snapshotter',
        'overlayfs',
        '--platform',
        'linux/amd64',
        'example.test/row:latest',
        target,
      );
      try {
        return show(target);
      } finally {
        run('umount', [target]);
      }
    },
  };
}

/** @param {string} program */
const has = (program) =>
  (process.env.PATH ?? '').split(':').some((at) => existsSync(join(at, program)));

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(rows);
const base = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'oci-unpack-rows-'));
const containerd =
  has('containerd') && has('ctr') ? await startContainerd(join(base, 'containerd')) : undefined;
try {
  for (const row of wanted) {
    const example = rows[row];
    if (example === undefined) {
      throw new Error(`no row ${row}; there are ${Object.keys(rows).join(', ')}`);
    }
    const scratch = join(base, `row-${row}`);
    const layout = join(scratch, 'layout');
    writeLayout(layout, example.layers);
    console.log(`\n${row}. ${example.title}`);
    for (const [i, layer] of example.layers.entries()) {
      console.log(
        `   layer ${i}:   ${layer.map(({ path, link }) => (link ? `${path} -> ${link}` : path)).join('  ')}`,
      );
    }
    console.log(`   expected:  ${example.expect}`);
    console.log(`   oci-unpack ${attempt(() => ours(scratch, layout))}`);
    if (containerd) {
      console.log(`   containerd ${attempt(() => containerd.unpack(scratch, layout, row))}`);
    }
    if (has('umoci')) {
      console.log(`   umoci      ${attempt(() => umoci(scratch, layout))}`);
    }
  }
} finally {
  containerd?.stop();
  await new Promise((resolve) => setTimeout(resolve, containerd ? 500 : 0));
  rmSync(base, { recursive: true, force: true });
}
