// npm run bench:micro [-- IMAGE [RUNS]]: the pieces of the work one by one, so that a regression can be located. The
// native ones on the largest layer of an image (by default of the demo's), those of TypeScript with tinybench.

import { mkdir, mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import { Bench } from 'tinybench';

/** @param {string} file below dist/, which the set-up has built */
const load = (file) => import(new URL(`../../dist/${file}`, import.meta.url).href);

const { makeDemoImage } = await load('demo/image.js');
const { withBenchImage } = await load('bench/image.js');
const { nativeTool } = await load('bench/native-tool.js');
const { runProcess } = await load('bench/process.js');
const { median } = await load('bench/statistics.js');
const { table } = await load('text.js');
const { unpackLayer } = await load('index.js');
const { chainIDs, digestOf, parseImageName, parseManifest } = await load('oci/index.js');
const { makeScratchDirectory } = await load('bench/file-system.js');

const [reference, runs = '7'] = process.argv.slice(2);
const { path: scratch, remove } = await makeScratchDirectory();

try {
  console.log(await nativePart());
  console.log();
  console.log(await typeScriptPart());
} finally {
  await remove();
}

/** inflate, sha256, tar parser and creation of files, by the native program. */
async function nativePart() {
  const made = reference ?? (await makeDemoImage(path.join(scratch, 'image'))).reference;
  return withBenchImage(made, async (/** @type {any} */ image) => {
    const layer = [...image.layers].sort((a, b) => b.length - a.length)[0];
    const directory = path.join(scratch, 'created');
    await mkdir(directory);
    const window = [layer.path, String(layer.offset), String(layer.length)];
    const { stdout } = await runProcess(nativeTool(scratch), ['micro', directory, runs, ...window]);
    /** @type {{ name: string, unit: string, amount: number, seconds: number[] }[]} */
    const found = JSON.parse(stdout);
    const rows = found.map(({ name, unit, amount, seconds }) => {
      const rate = amount / median(seconds);
      const shown =
        unit === 'bytes'
          ? `${(rate / 1e6).toFixed(0)} MB/s`
          : `${Math.round(rate).toLocaleString('en-US')} ${unit}/s`;
      const [least, most] = [Math.min(...seconds), Math.max(...seconds)];
      const range = `${(least * 1000).toFixed(1)} to ${(most * 1000).toFixed(1)} ms`;
      return [name, `${(median(seconds) * 1000).toFixed(1)} ms`, range, shown];
    });
    const head = ['largest layer, one thread', 'median', 'all', 'rate'];
    return table([head, ...rows], ['<', '>', '>', '>']);
  });
}

/** What TypeScript does for an image and a layer beside the native work. */
async function typeScriptPart() {
  const digest = `sha256:${'a'.repeat(64)}`;
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const layers = Array.from({ length: 100 }, () => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    digest,
    size: 1000,
  }));
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 1000 };
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
  const emptyTar = Buffer.alloc(1024);
  const diffID = digestOf(emptyTar);
  let directory = '';
  const bench = new Bench({ time: 500, warmupTime: 100 });
  bench
    .add('parse a manifest of 100 layers', () => parseManifest(manifest, 'manifest', mediaType))
    .add('100 chainIDs', () => chainIDs(layers.map(() => digest)))
    .add('parse an image name', () => parseImageName('registry.example:5000/a/b:tag'))
    .add(
      'unpackLayer of an empty layer',
      async () => {
        await unpackLayer(emptyTar, directory, { diffID });
      },
      {
        beforeEach: async () => {
          directory = await mkdtemp(path.join(scratch, 'layer-'));
        },
      },
    );
  await bench.run();
  const rows = bench.tasks.map((task) => {
    const { name, result } = task;
    if (!('latency' in result)) {
      throw new Error(`${name}: ${'error' in result ? result.error : 'no result'}`);
    }
    const { p50 = Number.NaN, p99 = Number.NaN } = result.latency;
    return [name, `${(p50 * 1000).toFixed(1)} µs`, `${(p99 * 1000).toFixed(1)} µs`];
  });
  return table([['TypeScript', 'median', '99 %'], ...rows], ['<', '>', '>']);
}
