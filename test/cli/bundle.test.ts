// The command's bundle: what is in it, and what V8 has compiled of it.

import { execFile } from 'node:child_process';
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Script } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/package-root.js';
import { withScratch } from '../support/scratch.js';

describe('the command', () => {
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
      ['node:child_process', 'smol-toml', 'tar-stream', 'tinybench'].map(
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
    expect(text.match(/^\S+ \(\S+\), in \w+\.js:$/gm)).toEqual(['commander (MIT), in command.js:']);
  });
});
