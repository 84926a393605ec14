// The command's bundle, which has the JavaScript of lmdb in itself, and where lmdb's binary is not the one that fits it.

import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Script } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/package-root.js';
import { withScratch } from '../support/scratch.js';

const platformPackage = `@lmdb/lmdb-${process.platform}-${process.arch}`;
const modules = path.join(packageRoot, 'node_modules');

/** Runs `work` with a copy of the built package, which sees `manifest` and `binary` in the place of lmdb's binary. */
function withPackage(
  change: (manifest: { version: string }) => { manifest: { version: string }; binary?: string },
  work: (list: () => Promise<string>) => Promise<void>,
): Promise<void> {
  return withScratch(async (scratch) => {
    const root = path.join(scratch, 'package');
    await cp(path.join(packageRoot, 'dist/cli'), path.join(root, 'dist/cli'), { recursive: true });
    await cp(path.join(packageRoot, 'package.json'), path.join(root, 'package.json'));
    await symlink(path.join(packageRoot, 'build'), path.join(root, 'build'));
    const place = path.join(root, 'node_modules', platformPackage);
    await mkdir(place, { recursive: true });
    // The package itself finds its own binary from where it really is.
    await symlink(path.join(modules, 'lmdb'), path.join(root, 'node_modules/lmdb'));
    const own = await readFile(path.join(modules, platformPackage, 'package.json'), 'utf8');
    const { manifest, binary } = change(JSON.parse(own) as { version: string });
    await writeFile(path.join(place, 'package.json'), JSON.stringify(manifest));
    if (binary !== undefined) {
      await writeFile(path.join(place, `node.abi${process.versions.modules}.glibc.node`), binary);
    }
    await work(async () => {
      const command = [path.join(root, 'dist/cli/main.js'), 'images', 'ls', '--json', '--root'];
      const args = [...command, path.join(scratch, 'store')];
      return (await promisify(execFile)(process.execPath, args)).stdout;
    });
  });
}

describe('the command', () => {
  it.each([
    ['is of another version', (own: { version: string }) => ({ ...own, version: '0.0.1' }), 'x'],
    ['is not there', (own: { version: string }) => own, undefined],
    ['does not load', (own: { version: string }) => own, 'no ELF'],
  ])('takes the lmdb of node_modules where its binary %s', (_, manifestOf, binary) =>
    withPackage(
      (own) => ({ manifest: manifestOf(own), ...(binary !== undefined && { binary }) }),
      async (list) => {
        expect(JSON.parse(await list())).toEqual([]);
      },
    ),
  );

  it('has code that V8 takes as compiled, of all its files', async () => {
    const bundle = path.join(packageRoot, 'dist/cli');
    const { cacheDirectory, compile } = createRequire(import.meta.url)(
      path.join(bundle, 'main.js'),
    ) as {
      cacheDirectory: string;
      compile: (directory: string, name: string, cachedData: Buffer) => Script;
    };
    const files = (await readdir(bundle)).filter((name) => /\.js$/.test(name)).sort();
    const cached = (await readdir(path.join(bundle, cacheDirectory))).sort();
    expect([...cached, 'main.js'].sort()).toEqual(files);
    for (const name of cached) {
      const data = await readFile(path.join(bundle, cacheDirectory, name));
      expect([name, compile(bundle, name, data).cachedDataRejected]).toEqual([name, false]);
    }
  });

  it('imports by the one function that can', async () => {
    const bundle = path.join(packageRoot, 'dist/cli');
    const files = (await readdir(bundle)).filter(
      (name) => /\.js$/.test(name) && name !== 'main.js',
    );
    const sources = await Promise.all(
      files.map((name) => readFile(path.join(bundle, name), 'utf8')),
    );
    const imports = sources.join('').match(/(?<![.\w$])import\w*\(["'][\w:/.-]+/g);
    expect([...new Set(imports)].sort()).toEqual(
      ['node:child_process', 'node:fs/promises', 'smol-toml', 'tar-stream', 'tinybench'].map(
        (id) => `importOutside("${id}`,
      ),
    );
  });

  it.each([
    ['was compiled by another V8', 'not of this one'],
    ['is not there as compiled', undefined],
  ])('runs where its code %s', (_, content) =>
    withScratch(async (scratch) => {
      const bundle = path.join(scratch, 'dist/cli');
      await cp(path.join(packageRoot, 'dist/cli'), bundle, { recursive: true });
      await cp(path.join(packageRoot, 'package.json'), path.join(scratch, 'package.json'));
      const caches = path.join(bundle, 'code-cache');
      for (const version of await readdir(caches)) {
        for (const name of await readdir(path.join(caches, version))) {
          const file = path.join(caches, version, name);
          await (content === undefined ? rm(file) : writeFile(file, content));
        }
      }
      const args = [path.join(bundle, 'main.js'), '--version'];
      const { stdout } = await promisify(execFile)(process.execPath, args);
      expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    }),
  );

  it('names the packages that it has in it, and their licenses', async () => {
    const text = await readFile(path.join(packageRoot, 'dist/cli/licenses.txt'), 'utf8');
    expect(text.match(/^\S+ \(\S+\), in \w+\.js:$/gm)).toEqual([
      'commander (MIT), in command.js:',
      'lmdb (MIT), in lmdb.js:',
      'ordered-binary (MIT), in lmdb.js:',
      'weak-lru-cache (MIT), in lmdb.js:',
      '@harperfast/extended-iterable (Apache-2.0), in lmdb.js:',
    ]);
    const lmdb = await readFile(path.join(packageRoot, 'dist/cli/lmdb.js'), 'utf8');
    // Nothing of a package without its license.
    expect(new Set(lmdb.match(/(?<=^\/\/ node_modules\/)(@[^/]+\/)?[^/]+/gm))).toEqual(
      new Set(['lmdb', 'ordered-binary', 'weak-lru-cache', '@harperfast/extended-iterable']),
    );
  });
});
