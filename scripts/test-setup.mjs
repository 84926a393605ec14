#!/usr/bin/env node
// What only tests need from Debian. Tests that lack a tool skip and say so; as root, here and in CI, none shall lack.

import { existsSync } from 'node:fs';
import { tryPackages } from './lib/debian-packages.mjs';
import { script } from './lib/process.mjs';

const packages = [
  'attr', // getfattr, setfattr
  'containerd', // whose store is read
  'docker-registry', // what the tests pull from
  'busybox-static', // what the containers of the tests run
  'e2fsprogs', // mkfs.ext4
  'openssl', // certificates for that registry
  'libcap2-bin', // getcap, setcap
  'runc', // runs them
  'xfsprogs', // mkfs.xfs: reflinks
  'zstd',
  'umoci', // an independent unpacker
  'skopeo',
];

/** Installs the tests' packages where this process may. */
export async function testSetup() {
  if (existsSync('/etc/debian_version')) {
    await tryPackages('for the tests with other tools', packages);
  }
}

if (import.meta.filename === process.argv[1]) {
  await script(testSetup);
}
